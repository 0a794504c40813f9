"""Ray: the only folder that imports it, and only when it is asked for.

Tasks, not `ray.data` and not actors: a dead actor of `ray.data` is not replaced, and one that no node has room for any
more waits for ever, while a task goes to whichever node has room.
"""

from glassnet.scale.ray.cluster import Shared, open_workers, require_ray
from glassnet.scale.ray.homes import Homes

__all__ = ["Homes", "Shared", "open_workers", "require_ray"]
