"""The numbers that the article prints, in percent (Table 3: milliseconds and megabytes)."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

# Every table: its file, and what its rows compare.
TABLES = {
    1: ("table1_map_all.csv", "method"),
    2: ("table2_map_5000.csv", "method"),
    3: ("table3_cost_64bits.csv", "method"),
    4: ("table4_ablation_map_5000.csv", "variant"),
    5: ("table5_ablation_map_all.csv", "variant"),
    6: ("table6_backbones_map_all.csv", "backbone"),
    7: ("table7_backbones_map_5000.csv", "backbone"),
    8: ("table8_vlm_map_all.csv", "guide"),
    9: ("table9_vlm_map_5000.csv", "guide"),
}


def published_table(table: int) -> pd.DataFrame:
    """Table 1-9, one row a number: what is compared, ``dataset``, ``bits``, ``metric``, ``published``."""
    if table not in TABLES:
        raise ValueError(f"the article has tables 1 to 9, not {table}")
    name, compares = TABLES[table]
    with (files("ctrh.paper") / "published" / name).open(encoding="utf-8") as source:
        frame = pd.read_csv(source).rename(columns={"vlm": "guide"})
    if "bits" not in frame:
        frame.insert(2, "bits", 64)  # Table 3 is of one length only
    return frame.melt([compares, "dataset", "bits"], var_name="metric", value_name="published")
