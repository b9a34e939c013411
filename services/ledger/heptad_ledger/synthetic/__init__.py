"""A ledger of any size without a mesh: what benches and long tests read, check and copy.

Only the way there is shortened. Records are sealed, batches signed, blocks certified and
checkpoints cosigned with the keys of a real home, and `heptad_ledger.following.ingest` checks and
applies them as it does what replicas send.
"""

from heptad_ledger.synthetic.fill import FillFigures, fill, new_home
from heptad_ledger.synthetic.records import FillPlan

__all__ = ["FillFigures", "FillPlan", "fill", "new_home"]
