"""What the library costs beside what people use: ``python -m benchmarks`` measures both sides in one run.

One file a topic. Each has a function ``run(scale)`` that yields :class:`benchmarks.measuring.Result`; the reference
is contained in the file, and every result says how far the two sides differ.
"""
