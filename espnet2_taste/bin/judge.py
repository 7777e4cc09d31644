"""Have a language model judge generated continuations.

Reads prompt_text and text of a continuation's folder (bin.taslm_generate; ``--text``:
what a recogniser heard instead) and writes ``judge_prompts.jsonl``: key, prompt,
continuation, message. With ``--endpoint`` and ``--model`` each message is posted to an
OpenAI-compatible server, and ``judge.jsonl`` gets a line per answer: key, score (1 to
5, null if the answer holds none), answer, model, digest. Run again, it asks what is not
answered yet. The API key is read from an environment variable.
"""

import argparse
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import count, jobs, real, seconds
from espnet2_taste.bin.options import add_data_options
from espnet2_taste.io.atomic import write_lines


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser, "prompt_text text")
    add = parser.add_argument
    add("--text", type=Path, help="continuations (default: --data_dir's text)")
    add("--template", type=Path, help="message with {prompt} and {continuation}")
    add("--endpoint", help="e.g. http://localhost:8000/v1 (default: nobody is asked)")
    add("--model", help="its name at the endpoint")
    add("--key_variable", default="OPENAI_API_KEY", help="holds the API key, if any")
    add("--temperature", type=real(0, 100), default=0.0)
    wait = real(0, 86400, above=True)
    add("--timeout", type=wait, default=60.0, help="s for one request")
    add("--retries", type=count, default=5, help="of a request that failed")
    add("--backoff", type=seconds, default=1.0, help="s before the first of them")
    add("--nj", type=jobs, default=4, help="requests at once")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.evaluate.judge import TEMPLATE, make_questions
    from espnet2_taste.io.tables import read_table

    if bool(args.endpoint) != bool(args.model):
        raise ValueError("--endpoint and --model go together")
    template = args.template.read_text(encoding="utf-8") if args.template else TEMPLATE
    prompts = read_table(args.data_dir / "prompt_text")
    continuations = read_table(args.text or args.data_dir / "text")
    questions = make_questions(prompts, continuations, template)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    path = args.output_dir / "judge_prompts.jsonl"
    write_lines(path, (json.dumps(asdict(question)) for question in questions))
    logging.info("%s: %d questions", path, len(questions))
    if args.endpoint:
        ask(args, questions)


def ask(args: argparse.Namespace, questions: list) -> None:
    """Ask what ``judge.jsonl`` has no answer to; each answer is kept at once.

    Raises:
        EndpointError: the endpoint fails; the answers so far are kept.
    """
    from espnet2_taste.evaluate.chat import ChatEndpoint, EndpointError
    from espnet2_taste.evaluate.judge import Answer, parse_score, read_judgements

    endpoint = ChatEndpoint(
        args.endpoint,
        args.model,
        os.environ.get(args.key_variable, "").strip() or None,
        temperature=args.temperature,
        timeout=args.timeout,
        retries=args.retries,
        backoff=args.backoff,
    )
    path = args.output_dir / "judge.jsonl"
    wanted = {question.key: question.digest for question in questions}
    answers = {
        key: answer
        for key, answer in read_judgements(path).items()
        if answer.model == args.model and answer.digest == wanted.get(key)
    }
    write_lines(path, (answer.to_json() for answer in answers.values()))
    rest = [question for question in questions if question.key not in answers]
    logging.info("%d questions answered before, %d to ask", len(answers), len(rest))
    pool, failure = ThreadPoolExecutor(args.nj), None
    try:
        futures = {pool.submit(endpoint.ask, q.message): q for q in rest}
        with open(path, "a", encoding="utf-8") as lines:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                try:
                    said = future.result()
                except EndpointError as error:
                    failure = failure or error
                    for other in futures:
                        other.cancel()  # but not those under way
                    continue
                question, score = futures[future], parse_score(said)
                if score is None:
                    logging.warning("%s: no score in '%.80s'", question.key, said)
                answer = Answer(question.key, score, said, args.model, question.digest)
                answers[answer.key] = answer
                print(answer.to_json(), file=lines, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    if failure is not None:
        raise EndpointError(
            f"{failure}; {len(answers)} of {len(questions)} answers are kept: run again"
        )
    write_lines(path, (answers[key].to_json() for key in sorted(answers)))
    scores = [a.score for a in answers.values() if a.score is not None]
    mean = f"mean score {sum(scores) / len(scores):.3f}" if scores else "no score"
    unclear = len(answers) - len(scores)
    logging.info("%s: %s, %d answers without one", path, mean, unclear)


if __name__ == "__main__":
    run(main)
