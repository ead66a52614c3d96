"""``python -m benchmarks [TOPIC ...]``: measures, prints the table and keeps it in results.csv."""

from __future__ import annotations

import argparse
import importlib

import pandas as pd

from benchmarks.measuring import machine
from benchmarks.records import FACTS, RESULTS, keep, rows_of

TOPICS = ("evaluation", "refinement", "losses", "search", "postgres", "encoding", "runtime", "scaling", "data")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)} (default: all)")
    parser.add_argument("--small", action="store_true", help="small sizes: a minute; nothing is kept")
    parser.add_argument(
        "--report", action="store_true", help="afterwards draw the figure and write docs/scale.md"
    )
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.topics) - {*TOPICS})
    if unknown:
        parser.error(f"no topic {', '.join(unknown)}: choose of {', '.join(TOPICS)}")
    print(machine())
    for topic in args.topics or TOPICS:
        for result in importlib.import_module(f"benchmarks.{topic}").run("small" if args.small else "full"):
            print(
                f"{result.name:26} ours {_seconds(result.ours_s)}  reference {_seconds(result.reference_s)}  "
                f"ratio {result.ratio:9.1f}  difference {result.difference:.1e}  {result.size}",
                *(f"{quantity} {value:.4g}" for quantity, value in result.facts.items()),
                sep="\n    ",
                flush=True,
            )
            if not args.small:
                results, facts = rows_of(result)
                keep(results, RESULTS)
                keep(facts, FACTS)
    if args.report:
        from benchmarks import report

        report.write(pd.read_csv(RESULTS), pd.read_csv(FACTS))


def _seconds(value: float) -> str:
    return f"{value:9.3f} s " if value >= 0.1 else f"{value * 1e6:9.1f} µs"


if __name__ == "__main__":
    main()
