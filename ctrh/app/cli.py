"""The command line: photos with bad tags in, refined tags, codes and search results out.

What a user can mend (a wrong folder, a damaged file, a full disk) is one line, ``error: ...``, and exit code 2;
anything else is a fault of the program and shows its traceback. Ctrl-C ends with 130 and keeps finished work.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ctrh import __version__

# The names in ctrh.backbones, ctrh.methods.registry and ctrh.retrieval.metrics (a test compares), which take seconds to import.
BACKBONES = ("alexnet", "resnet50", "vit_b_16", "guide", "small-alexnet", "small-resnet", "small-vit")
METHODS = ("LSH", "SH", "PCA-RR", "ITQ", "WDHT", "MGRN", "EWSH", "WSHRCA", "UHSCM", "CTRH")
CONVENTIONS = ("ctrh", "wshrca", "deephash-pytorch", "wdht", "clip-based-cross-modal-hash-first-k-relevant")

EXAMPLE = """\
example:
  python -m ctrh fit holiday --out holiday-model      # holiday/images/..., holiday/tags.csv
  python -m ctrh search holiday-model some.jpg --sheet found.png
  python -m ctrh search holiday-model --text "butterfly garden"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    args = parse(arguments)
    try:
        with warnings.catch_warnings():
            # Pillow's warnings name no file; what is wrong with a picture is said with its name.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = _show_warning
            log = logging.getLogger("ctrh")
            log.handlers, log.level = [logging.StreamHandler()], logging.INFO
            # Imported here: --help and a wrong option should not wait for numpy.
            importlib.import_module(f"ctrh.app.commands.{args.command}").run(args)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted: finished work is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; without this, Python complains once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _one_line(error: Exception) -> str:
    from ctrh.store import cache_dir

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        cached = error.filename is None or Path(error.filename).resolve().is_relative_to(cache_dir().resolve())
        remedy = "set CTRH_CACHE to" if cached else "choose"
        where = error.filename or "the output or cache folder"
        return f"no space left on the disk of {where}: free some, or {remedy} a folder on another disk"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; what is wrong with them ends the program with a line on their use."""
    args, rest = build_parser().parse_known_args(arguments)
    if args.command == "search":
        # argparse takes a missing positional for left out as soon as an option follows: search MODEL -k 5 PHOTO.
        if args.query is None and rest and not rest[0].startswith("-"):
            args.query = rest.pop(0)
        if (args.query is None) == (args.text is None):
            args.parser.error("give a QUERY_IMAGE, or --text WORDS in its place")
        if args.text is not None and not args.text.strip():
            args.parser.error("--text is empty: say what to look for")
    if any("\ud800" <= letter <= "\udfff" for letter in "".join(map(str, (*vars(args).values(), *vars(args).get("photos", ()))))):
        args.parser.error("a name or option is not UTF-8: rename the file or folder")
    if rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ctrh",
        description="Weakly supervised image hashing via CLIP-guided tag refinement (CTRH).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ctrh {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_search(commands)
    _add_browse(commands)
    _add_changes(commands)
    _add_export(commands)
    _add_refine(commands)
    _add_tag(commands)
    _add_data(commands)
    return parser


def _add_fit(commands) -> None:
    command = _command(
        commands,
        "fit",
        "learn codes for a folder of tagged photos",
        "Refines the tags of FOLDER (in tags.csv, or keywords in the files), trains a method on them and encodes every "
        "photo. With labels it also scores retrieval against LSH, SH, PCA-RR and ITQ on the same features, and names the best.",
    )
    command.add_argument(
        "--out", required=True, metavar="MODEL_DIR", help="folder to write: weights, codes, tables"
    )
    command.add_argument("--bits", type=_whole(1, 4096), default=32, help="length of the codes (default: 32)")
    command.add_argument(
        "--epochs", type=_whole(1), default=30, help="passes over the photos (default: 30)"
    )
    command.add_argument(
        "--method",
        choices=METHODS,
        default="CTRH",
        help="how codes are learned: CTRH (default), from users' tags (WDHT ... WSHRCA), or from pictures alone",
    )
    command.add_argument(
        "--backbone",
        type=_backbone,
        default="guide",
        help='network that sees the photos, frozen: "guide" (default: the guide\'s own image encoder), small-alexnet, '
        "alexnet, resnet50, timm:NAME ...",
    )
    command.add_argument(
        "--tags",
        choices=("refined", "user"),
        help="train on refined tags (default for CTRH) or on the users' own (default for the others)",
    )
    _add_folder(command)
    command.add_argument("--queries", type=_whole(1), help="labelled photos to score with (default: 8 %%)")
    command.add_argument("--train", type=_whole(1), help="training photos (default: all tagged ones)")
    command.add_argument(
        "--convention", choices=CONVENTIONS, default="ctrh", help="whose way of computing mAP (default: ctrh)"
    )
    command.add_argument(
        "--ties", choices=("expected", "stable"), help="of equal distances the mean over all orders, or the photos' order"
    )
    command.add_argument(
        "--denominator", choices=("hits", "possible"), help="of AP@k: relevant photos in the top k, or min(k, all of them)"
    )
    _add_guide(command)
    _add_alpha(command)
    _add_published(command)


def _add_search(commands) -> None:
    command = _command(
        commands,
        "search",
        "find the photos most like a picture, or fitting a text",
        "Prints rank, Hamming distance and name; for a text, how well its representation fits the code (-1 to 1). What "
        "codes of random bits, or random letters, find as well is marked as no better than chance.",
    )
    command.add_argument("model", metavar="MODEL_DIR", help="what fit has written")
    command.add_argument("query", metavar="QUERY_IMAGE", nargs="?", help="any picture file")
    command.add_argument("--text", metavar="WORDS", help='in place of a picture: "garden", "beach +dog -people"')
    command.add_argument("-k", type=_whole(1), default=10, help="how many photos (default: 10)")
    command.add_argument("--sheet", metavar="FILE.png", help="also draw query and results on one sheet")


def _add_browse(commands) -> None:
    command = _command(
        commands,
        "browse",
        "look through a model's photos in a web browser",
        "Prints the address of a page, for this machine alone, that searches by words, by a photo or by a picture dropped "
        "onto it, and shows tags before and after. It changes nothing; Ctrl-C ends it.",
    )
    command.add_argument("model", metavar="MODEL_DIR", help="what fit has written")
    command.add_argument("--port", type=_whole(0, 65535), default=0, help="of the address (default: a free one)")


def _add_changes(commands) -> None:
    for action, summary, description in (
        ("add", "add photos to a model", "Encodes PHOTOS (files or folders, wherever they lie) by the model as it is."),
        ("remove", "take photos out of a model", "Takes PHOTOS (named as search does, or by path) out; files stay."),
        (
            "update",
            "bring a model up to date with its folder",
            "Encodes new and changed photos of the model's folder and takes out those that are gone.",
        ),
    ):
        command = _command(commands, action, summary, f"{description} Nothing is learned anew: for that, fit again.")
        command.set_defaults(command="update", action=action, photos=(), folder=None)
        command.add_argument("model", metavar="MODEL_DIR", help="what fit has written")
        if action == "update":
            command.add_argument("--folder", metavar="DIR", help="where the photos lie now, if they have moved")
        else:
            command.add_argument("photos", nargs="+", metavar="PHOTO", help="picture files or folders of them")


def _add_export(commands) -> None:
    command = _command(
        commands,
        "export",
        "write the encoder as a file that runs without this package",
        "Writes what turns pictures into codes for PyTorch (.pt2) or any runtime of ONNX (.onnx), checked to give the "
        "same codes, and prints how pictures have to be preprocessed for it. Without FILE: adds to MODEL_DIR what lets "
        "search --text answer in a second, without PyTorch.",
    )
    command.add_argument("model", metavar="MODEL_DIR", help="what fit has written")
    command.add_argument("out", metavar="FILE", nargs="?", help="ends in .pt2 or .onnx")
    command.add_argument(
        "--int8",
        action="store_true",
        help="matrices in 8 bits, for FILE.onnx: smaller and faster, but some bits of the codes are others (docs/scale.md)",
    )


def _add_refine(commands) -> None:
    command = _command(
        commands,
        "refine",
        "replace the tags of a folder by better ones",
        "Weighs what users wrote and what the guide sees: a table like tags.csv with the probable words of each photo, their "
        "probabilities and the tags before.",
    )
    command.add_argument("--out", metavar="FILE.csv", help="file to write (default: print)")
    command.add_argument(
        "--write-xmp",
        action="store_true",
        help="write them beside the photos, as photo.jpg.xmp; photos and other programs' sidecars stay as they are",
    )
    _add_folder(command)
    _add_guide(command)
    _add_alpha(command)
    _add_published(command)


def _add_published(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--published", action="store_true", help="refine as the article does, Eq. 3-8: the guide alone writes the tags"
    )


def _add_tag(commands) -> None:
    command = _command(
        commands,
        "tag",
        "propose tags for photos that have none",
        "Prints the words that the guide finds most probable for each photo without tags, with their probabilities: "
        "shares of one among all words that there are to choose from.",
    )
    command.add_argument("folder", metavar="FOLDER", help="holds pictures, perhaps in images/, and perhaps tags.csv")
    command.add_argument("--words", metavar="FILE", help="words to choose from, one a line (default: the folder's tags)")
    command.add_argument("-k", type=_whole(1), help="words a photo (default: 5, with --threshold any number)")
    command.add_argument("--threshold", type=_share, help="least probability of a word")
    command.add_argument("--all", action="store_true", help="also photos that have tags")
    command.add_argument("--out", metavar="FILE.csv", help="also write a table like tags.csv")
    _add_guide(command)


def _add_data(commands) -> None:
    data = commands.add_parser(
        "data", help="get and check a data set", description="Gets and checks a data set."
    )
    sets = data.add_subparsers(metavar="DATA_SET", required=True)
    _add_flickr(sets, "mirflickr", "MIRFLICKR-25K: download, verify, statistics", "3 GB")
    _add_flickr(sets, "nuswide", "NUS-WIDE: download its text files, verify, statistics", "its text files")
    command = _command(
        sets,
        "openclipart",
        "OpenClipart's drawings and their tags, from Debian's packages",
        "Makes a photo folder of Debian's unpacked packages openclipart-png and openclipart-svg:\n\n"
        "  mkdir openclipart && cd openclipart\n"
        "  apt-get download openclipart-png openclipart-svg\n"
        "  dpkg-deb -x openclipart-png_*.deb . && dpkg-deb -x openclipart-svg_*.deb .\n"
        "  cd .. && python -m ctrh data openclipart openclipart clipart\n\n"
        "Without dpkg-deb: bsdtar -xOf FILE.deb 'data.tar.*' | bsdtar -xf -",
    )
    command.add_argument("source", metavar="SOURCE_DIR", help="where both packages were unpacked")
    command.add_argument("out", metavar="OUT_DIR", help="folder to write: images/, tags.csv, labels.csv")
    command.add_argument("--size", type=_whole(8), default=224, help="pixels a side (default: 224)")


def _add_flickr(sets, dataset: str, summary: str, size: str) -> None:
    command = _command(
        sets,
        dataset,
        summary,
        "Unpacks the official archives that lie in DIR, says which are missing, reads every picture once, and tells what "
        "is odd and how many photos the protocol leaves.",
    )
    command.set_defaults(command="flickr", dataset=dataset)
    command.add_argument("folder", metavar="DIR", help="the folder that run_all.sh gets as --data DIR")
    command.add_argument("--download", action="store_true", help=f"download what is missing ({size})")
    command.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="folder on the web that has the archives, asked before the official one; may be repeated",
    )
    command.add_argument(
        "--protocol", default="article", help="article (default), wshrca or cross-modal: labels, tags and sizes"
    )
    labels = {"mirflickr": "38, or 24 without the stricter annotations", "nuswide": "so many concepts of most photos"}
    command.add_argument("--labels", type=_whole(1), help=f"in place of the protocol's number: {labels[dataset]}")
    command.add_argument("--queries", type=_whole(1), help="in place of the protocol's number")
    command.add_argument(
        "--train", type=_whole(1), help="training photos, in place of the protocol's number"
    )
    command.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, help="of the split (default: 0)")
    command.add_argument("--split", metavar="FILE", help="a split to use in place of a random one")
    command.add_argument(
        "--write-split",
        metavar="FILE",
        help=f"write the split; as DIR/splits/{dataset}.json, run_all.sh and everybody you give it to uses it",
    )
    command.add_argument("--strict", action="store_true", help="stop at whatever is missing, damaged or odd")
    command.add_argument(
        "--shown", type=_whole(1), default=5, help="names to show of each fault (default: 5)"
    )


def _command(commands, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=name, parser=command)
    return command


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="holds pictures, perhaps in images/, tags.csv, labels.csv")
    command.add_argument(
        "--least", type=_whole(1), default=2, help="photos that a word needs (default: 2)"
    )
    command.add_argument(
        "--common", type=_whole(1), help="photos that a common word needs (default: by size)"
    )
    command.add_argument(
        "--separators",
        metavar="CHARS",
        help='what stands between words in a cell, as ";" or " " (default: found by looking)',
    )
    command.add_argument(
        "--words-from",
        type=_sources,
        metavar="SOURCES",
        help="where tags come from, several with commas: csv (tags.csv), keywords (IPTC, XMP and digiKam's, in the files "
        "or sidecars), folders (names of sub-folders); default: csv, without tags.csv keywords",
    )
    command.add_argument("--drop-untagged", action="store_true", help="leave out photos without tags")
    command.add_argument("--strict", action="store_true", help="stop at damaged pictures and odd rows")
    command.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, help="of split and training (default: 0)")


def _add_guide(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--guide", default="small", help="small (shipped) or an open_clip model, as ViT-B-32"
    )
    command.add_argument("--pretrained", help="weights of an open_clip model: tag or file")
    command.add_argument("--weights", metavar="DIR", help="folder to look for weights in")
    command.add_argument("--device", type=_device, default="cpu", help="cpu (default) or cuda")


def _add_alpha(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--alpha",
        type=_share,
        default=0.0,
        help="share of weights fine-tuned on the folder's tags, Eq. 2 (default: 0, no fine-tuning)",
    )


def _whole(least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            limit = f"at least {least}" if value < least else f"at most {most}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {value}")
        return value

    parse.__name__ = "whole number"  # argparse names the type in its message
    return parse


def _backbone(text: str) -> str:
    if text not in BACKBONES and not text.startswith("timm:"):
        raise argparse.ArgumentTypeError(f"choose one of {', '.join(BACKBONES)}, timm:NAME; got {text!r}")
    return text


def _sources(text: str) -> tuple[str, ...]:
    sources = tuple(text.replace(",", " ").split())
    if not sources or not set(sources) <= {"csv", "keywords", "folders"}:
        raise argparse.ArgumentTypeError(f"choose of csv, keywords, folders; got {text!r}")
    return sources


def _device(text: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be cpu or cuda, got {text!r}")
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must lie in [0, 1], got {value}")
    return value
