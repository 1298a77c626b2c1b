import json

from subarch.optimize.trials import Trial


def test_a_trial_survives_json_exactly():
    trial = Trial(
        number=3,
        params={"rate": 0.1 + 0.2, "layers": 4, "on": True, "kind": "plain"},
        state="stopped",
        metrics={"f1": 1 / 3},
        errors={"f1": 1e-300},
        reason="could not reach the front",
    )
    assert Trial(**json.loads(json.dumps(trial.to_json()))) == trial


def test_only_a_running_trial_has_not_ended():
    states = ("running", "finished", "failed", "stopped")
    assert [Trial(number=0, params={}, state=state).ended for state in states] == [False, True, True, True]
