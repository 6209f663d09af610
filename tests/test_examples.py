"""The examples do what they say. (`gradient_flow.py`: in `test_flow.py`.)"""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_frames_are_told_in_their_films_and_not_alone(capfd):
    by_frame, by_film = runpy.run_path(str(EXAMPLES / "labelling.py"))["main"]()
    assert by_frame < 0.65 < 0.95 < by_film
    assert "frame 0: " in capfd.readouterr().out
