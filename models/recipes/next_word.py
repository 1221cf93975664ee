"""Train the bundled next-word model: a two-layer LSTM over words, and the n-gram model that is its baseline.

    python -m models.recipes.next_word train    --data DIR --out models/next-word/1
    python -m models.recipes.next_word evaluate --data DIR --out models/next-word/1

DIR holds the four files of `corpus.py`, anywhere below it. Training keeps a checkpoint in the work folder and
resumes from it; it ends by writing the model folder and its card. `evaluate` prints the figures of the card.
"""

import argparse
from pathlib import Path

from models.recipes.next_word_export import evaluate_folder, export, write_card
from models.recipes.next_word_training import read_data, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "evaluate"])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the files named in corpus.py")
    parser.add_argument("--work", type=Path, default=Path("build/next-word"), help="checkpoints of the training")
    parser.add_argument("--out", type=Path, default=Path("models/next-word/1"), help="the model folder")
    parser.add_argument("--device", default="cpu", help="where to train: cpu or cuda")
    arguments = parser.parse_args()
    data = read_data(arguments.data)
    if arguments.action == "train":
        arguments.work.mkdir(parents=True, exist_ok=True)
        export(train(data, arguments.work, arguments.device).cpu(), data, arguments.out)
        write_card(evaluate_folder(data, arguments.out), arguments.out)
    else:
        evaluate_folder(data, arguments.out)


if __name__ == "__main__":
    main()
