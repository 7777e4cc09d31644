"""Install requirements into this interpreter's environment: with uv, else with pip."""

import os
import subprocess
import sys


def main():
    wanted = ["-e", *sys.argv[1:]]
    pip = [sys.executable, "-m", "pip", "install"]
    if subprocess.run([*pip, "uv"], check=False).returncode == 0:
        # uv trusts the system's certificates only when told to, under either name.
        environment = dict(os.environ, UV_NATIVE_TLS="1", UV_SYSTEM_CERTS="1")
        uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
        links = os.environ.get("PIP_FIND_LINKS", "").split()
        for link in links:
            uv += ["--find-links", link]
        index = os.environ.get("PIP_INDEX_URL")
        if index:
            environment.setdefault("UV_INDEX_URL", index)
        if subprocess.run([*uv, *wanted], env=environment, check=False).returncode == 0:
            return
        print("uv could not install; trying pip", flush=True)
    sys.exit(subprocess.run([*pip, *wanted], check=False).returncode)


if __name__ == "__main__":
    main()
