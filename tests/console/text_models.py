"""Models of text that differ from the bundled ones: characters in place of words, and no attention."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from tests.folders import write_language_model
from tests.translation_folders import write_encoder_decoder

CHARACTERS = ["<unk>", "\n", " ", *"abcdefghijklmnopqrstuvwxyz.,!?"]


def write_text_models(folder: Path) -> None:
    """Write a model of characters, and a translation model without attention."""
    letters = write_language_model(folder, "letters", words=CHARACTERS)
    vocabulary = {character: index for index, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(letters / "tokenizer.json"))
    write_encoder_decoder(folder, "plain-translation", attention=None, combine=None)
