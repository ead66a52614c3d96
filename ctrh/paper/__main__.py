"""``python -m ctrh.paper``: see :mod:`ctrh.paper.run`."""

if __name__ == "__main__":
    try:
        from ctrh.paper.run import interruptible
    except KeyboardInterrupt:
        print("\nInterrupted: start it again.", flush=True)
        raise SystemExit(130) from None
    interruptible()
