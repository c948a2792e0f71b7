"""All exercises, in the order of the notebooks."""

from radar_nb.teaching.exercises import nb00, nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08, nb09, nb10, nb11
from radar_nb.teaching.exercises.kinds import Exercise

_NOTEBOOKS = (nb00, nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08, nb09, nb10, nb11)
EXERCISES: tuple[Exercise, ...] = tuple(each for notebook in _NOTEBOOKS for each in notebook.EXERCISES)
KNOWN = {each.name: each for each in EXERCISES}
