# shellcheck shell=bash disable=SC2034,SC2154
# What the stages compute on, from --ngpu and --gpu_inference: sets both where they are
# auto, and device and infer_cmd for inference.

# check_gpus <option> <count>
check_gpus() {
    local reason
    reason=$("${python}" utils/gpus.py "$2" 2>&1) || die "$1: ${reason}"
}

if [[ "${cuda_cmd}" = *run.pl* ]]; then
    if [ "${ngpu}" = auto ]; then
        ngpu=$("${python}" utils/gpus.py auto)
        case ${ngpu} in
            0) log "training on the CPU: no GPU found that it can use" ;;
            *) log "training on ${ngpu} GPU (--ngpu 0: CPU)" ;;
        esac
    else
        check_gpus "--ngpu ${ngpu}" "${ngpu}"
    fi
    if [ "${gpu_inference}" = true ]; then check_gpus "--gpu_inference true" 1; fi
elif [ "${ngpu}" = auto ]; then  # only the scheduler knows: this host may have none
    ngpu=0
    log "training on the CPU (--ngpu N asks the cluster for GPUs)"
fi
if [ "${gpu_inference}" = auto ]; then
    gpu_inference=false
    if [ "${ngpu}" != 0 ]; then gpu_inference=true; fi
fi

device=cpu infer_cmd=${decode_cmd}
if "${gpu_inference}"; then device=cuda infer_cmd="${cuda_cmd} --gpu 1"; fi
