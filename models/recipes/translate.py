"""Train the bundled English-French translation model, and the same network without attention as its baseline.

    python -m models.recipes.translate train    --data DIR --out models/translate-en-fr/1
    python -m models.recipes.translate export   --data DIR --out models/translate-en-fr/1
    python -m models.recipes.translate evaluate --data DIR --out models/translate-en-fr/1

DIR holds `fra-eng.zip` of `corpus.py`, anywhere below it. Training keeps checkpoints in the work folder and resumes
from them; it ends by writing the model folder and its card. `export` writes the folder and the card from the best
checkpoint so far, and `evaluate` prints the figures of the card. Both also evaluate the network without attention if
the work folder has it. `restart` begins a new plan from the best weights: --rate, --batch-tokens, --dropout.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from models.recipes.translate_export import evaluate_folder, export, write_card
from models.recipes.translate_training import Plan, load_best, read_data, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "restart", "export", "evaluate"])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fra-eng.zip")
    parser.add_argument("--work", type=Path, default=Path("build/translate"), help="checkpoints of the training")
    parser.add_argument("--out", type=Path, default=Path("models/translate-en-fr/1"), help="the model folder")
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument("--rate", type=float, default=Plan.rate, help="the highest learning rate")
    parser.add_argument("--batch-tokens", type=int, default=Plan.batch_tokens, help="target pieces per batch")
    parser.add_argument("--dropout", type=float, default=Plan.dropout)
    parser.add_argument("--baseline-epochs", type=int, default=5, help="of the network without attention; 0: none")
    parser.add_argument("--limit", type=int, default=None, help="judge only so many test sentences")
    parser.add_argument("--device", default="cpu", help="where to train: cpu or cuda")
    arguments = parser.parse_args()
    work, out = arguments.work, arguments.out
    data = read_data(arguments.data, out if arguments.action == "evaluate" else work)
    plan = Plan(arguments.epochs, arguments.rate, Plan.warm_up, arguments.batch_tokens, arguments.dropout)
    if arguments.action in {"train", "restart"}:
        train(data, work, plan, arguments.device, attention=True, restart=arguments.action == "restart")
        if arguments.baseline_epochs:
            train(data, work, replace(plan, epochs=arguments.baseline_epochs), arguments.device, attention=False)
    if arguments.action == "evaluate":
        evaluate_folder(data, out, work, arguments.limit)
    else:
        export(load_best(work, attention=True), data, out)
        write_card(evaluate_folder(data, out, work, arguments.limit), out)


if __name__ == "__main__":
    main()
