#!/usr/bin/env bash
# Every table and figure of the article with one command; ./run_all.sh --help tells the rest.
set -euo pipefail

source=${BASH_SOURCE[0]}
while [ -L "$source" ]; do
    link=$(readlink "$source")
    case $link in
        /*) source=$link ;;
        *) source=$(dirname "$source")/$link ;;
    esac
done
root=$(cd -P "$(dirname "$source")" && pwd)

# The active environment's python comes first: it may well have everything already.
for python in ${PYTHON:+"$PYTHON"} python python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        # Not through the installed package: another clone's copy would be run in place of this one.
        export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
        exec "$python" -P -m ctrh.paper.launch "$@"
    fi
done

echo "run_all.sh: needs Python 3.11 or newer, and found none (looked for python, python3, python3.11 ... in PATH)." >&2
echo "Install it (for example: apt install python3 python3-venv, or conda env create -f environment.yml)," >&2
echo "or name it: PYTHON=/path/to/python3.12 ./run_all.sh" >&2
exit 1
