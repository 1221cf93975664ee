"""Writes small real translation models; the golden vectors come from `translation_trainer.py`."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from service.model_folder.safetensors_io import write_tensor_file
from tests.folders import write_tokenizer
from tests.registered import with_state
from tests.translation_trainer import TranslationTrainer

MARKS = ["<unk>", "<s>", "</s>"]
SOURCE = (
    "I am hungry. Where is Tom? I don't know what to do! He goes to school. She likes dogs and cats. "
    "Do you want to eat? The weather is good today. We are tired, very tired. Who are you? Mary sings well."
)
TARGET = (
    "J'ai faim. Où est Tom ? Je ne sais pas quoi faire ! Il va à l'école. Elle aime les chiens et les chats. "
    "Voulez-vous manger ? Il fait beau aujourd'hui. Nous sommes fatigués, très fatigués. Qui êtes-vous ? Marie chante."
)


def write_subwords(path: Path, text: str, size: int) -> int:
    """Write byte-pair encoding as the bundled model has it, and return how many entries it has."""
    tokenizer = Tokenizer(models.BPE(unk_token=MARKS[0]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    word = Regex(r"[▁\-]?\w+'?|▁?[^\w▁]|▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(word, "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=MARKS, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(path))
    return int(tokenizer.get_vocab_size())


def write_encoder_decoder(
    root: Path,
    name: str = "mt",
    version: str = "1",
    *,
    words: tuple[list[str], list[str]] | None = None,
    encoder: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    seed: int = 0,
    golden: bool = True,
    **config: Any,
) -> Path:
    """Write `root`/`name`/`version` with seeded random weights; `words` are whole words, subwords without them.

    `encoder`, `decoder` and `config` are further fields of config.json; sizes that are left out fit each other.
    """
    folder = root / name / version
    folder.mkdir(parents=True)
    fields = {
        "format_version": 1,
        "task": "translation",
        "architecture": "encoder-decoder",
        "bridge": "concat",
        "attention": "general",
        "combine": {"size": 10, "activation": "tanh"},
        "special_tokens": {"unknown": "<unk>", "begin": "<s>", "end": "</s>"},
        **config,
    }
    sizes = write_vocabularies(folder, words)
    fields["encoder"] = {
        "cell": "lstm",
        "num_layers": 2,
        "hidden_size": 6,
        "bidirectional": True,
        "embedding_size": 7,
        "tokenizer": "source_tokenizer.json",
        "vocab_size": sizes[0],
        **(encoder or {}),
    }
    wide = fields["encoder"]
    joined = wide["hidden_size"] * (2 if wide["bidirectional"] else 1)
    fields["decoder"] = {
        "cell": wide["cell"],
        "num_layers": 1,
        "hidden_size": joined,
        "embedding_size": 10,
        "tokenizer": "target_tokenizer.json",
        "vocab_size": sizes[1],
        **(decoder or {}),
    }
    wide["input_size"] = wide["embedding_size"]
    own = fields["decoder"]
    width = own.get("proj_size") or own["hidden_size"]
    memory = (wide.get("proj_size") or wide["hidden_size"]) * (2 if wide["bidirectional"] else 1)
    features = fields["combine"]["size"] if fields["combine"] else width + (memory if fields["attention"] else 0)
    own.setdefault("input_size", own["embedding_size"] + (features if own.get("input_feed") else 0))
    fields = with_state(fields, str(folder))
    (folder / "config.json").write_text(json.dumps(fields, indent=2), "utf-8")
    trainer = make_translation_trainer(fields, seed)
    write_tensor_file(folder / "model.safetensors", trainer.tensors())
    if golden:
        write_translation_golden(folder / "golden.safetensors", trainer)
    return folder


def write_vocabularies(folder: Path, words: tuple[list[str], list[str]] | None) -> tuple[int, int]:
    paths = folder / "source_tokenizer.json", folder / "target_tokenizer.json"
    if words is None:
        return write_subwords(paths[0], SOURCE, 90), write_subwords(paths[1], TARGET, 95)
    for path, own in zip(paths, words, strict=True):
        write_tokenizer(path, own)
    return len(words[0]), len(words[1])


def make_translation_trainer(fields: dict[str, Any], seed: int = 0) -> TranslationTrainer:
    """Return the reference network with seeded weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TranslationTrainer(fields).eval()


def write_translation_golden(path: Path, trainer: TranslationTrainer) -> None:
    """Write what `trainer` computes for two sources of five tokens and two targets of seven."""
    generator = torch.Generator().manual_seed(7)
    source = torch.randint(trainer.config["encoder"]["vocab_size"], (2, 5), generator=generator)
    target = torch.randint(trainer.config["decoder"]["vocab_size"], (2, 7), generator=generator)
    with torch.no_grad():
        vectors = trainer(source, target)
    write_tensor_file(path, {"inputs.source": source, "inputs.target": target, **vectors}, {"tolerance": "1e-4"})
