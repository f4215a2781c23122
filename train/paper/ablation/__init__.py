"""The paper's ablation tables: rows as settings, and the runs that measure them."""
