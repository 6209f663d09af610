"""The learning-rate schedules of row B3."""

import pytest

from fastlstm import Cosine, Exponential, Plateau, Step, schedules


def factors(schedule, epochs, losses=()):
    return [schedule(epoch, losses[:epoch]) for epoch in range(epochs)]


def test_factors():
    assert factors(Step(0.5, every=2), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert factors(Exponential(0.5, after=2), 5) == [1, 1, 0.5, 0.25, 0.125]
    assert factors(Exponential(1.0), 3) == [1, 1, 1]
    assert factors(Cosine(4), 6) == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0, 0])
    assert factors(Cosine(2, floor=0.1), 4) == pytest.approx([1, 0.55, 0.1, 0.1])


def test_plateau_waits_for_epochs_without_a_smaller_loss():
    losses = [3.0, 2.0, 2.0, 2.5, 1.9, 1.9, 1.95, 1.9, 2.0]
    assert factors(Plateau(0.1, patience=2), 10, losses) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize(
    ("equal", "schedule", "options"),
    [
        (Step(0.5, 3), "StepLR", {"step_size": 3, "gamma": 0.5}),
        (Exponential(0.9), "ExponentialLR", {"gamma": 0.9}),
        (Cosine(7, 0.25), "CosineAnnealingLR", {"T_max": 7, "eta_min": 0.25}),
    ],
)
def test_equal_torch(torch, equal, schedule, options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = getattr(torch.optim.lr_scheduler, schedule)(optimizer, **options)
    for epoch in range(8):
        assert equal(epoch, ()) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", [Step(0.5, 3), Exponential(0.9, 4), Cosine(7, 0.25), Plateau(0.2, 2)])
def test_json_round_trip(schedule):
    assert schedules.from_json(schedule.to_json()) == schedule


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Exponential(0, 1), ValueError, "rate must be in (0, 1], got 0"),
    (lambda: Exponential(1.5), ValueError, "rate must be in (0, 1], got 1.5"),
    (lambda: Exponential(float("nan")), ValueError, "rate must be in (0, 1], got nan"),
    (lambda: Exponential("fast"), TypeError, "rate must be a number, got 'fast'"),
    (lambda: Exponential(0.5, -1), ValueError, "after must be at least 1, got -1"),
    (lambda: Exponential(0.5, 1.5), TypeError, "after must be a whole number, got 1.5"),
    (lambda: Step(0.5, 0), ValueError, "every must be at least 1, got 0"),
    (lambda: Step(2, 1), ValueError, "rate must be in (0, 1], got 2"),
    (lambda: Cosine(0), ValueError, "epochs must be at least 1, got 0"),
    (lambda: Cosine(3, -1), ValueError, "floor must be in [0, 1], got -1"),
    (lambda: Plateau(0.5, 0), ValueError, "patience must be at least 1, got 0"),
    (lambda: schedules.from_json({"kind": "cosin"}), ValueError, "did you mean 'cosine'?"),
])
def test_other_values_are_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert message in str(raised.value)
