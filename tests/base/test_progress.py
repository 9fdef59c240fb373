"""What goes on is said to who listens, and after a block again what went on around it."""

from snnkd.base import progress


def test_what_goes_on_around_a_block_is_said_again():
    heard = []
    with progress.heard_by(heard.append), progress.doing("export"):
        with progress.doing("Lava starts"):
            progress.say("Lava: sample 2 of 3")
        progress.say("reading back")
    assert heard == ["export", "Lava starts", "Lava: sample 2 of 3", "export", "reading back", ""]


def test_what_was_said_last_is_not_heard_by_the_next_one():
    first, second = [], []
    with progress.heard_by(first.append):
        progress.say("sample 9 of 11")
        with progress.heard_by(second.append), progress.doing("export"):
            pass
        with progress.doing("profile"):
            pass
    assert first == ["sample 9 of 11", "profile", "sample 9 of 11"] and second == ["export", ""]


def test_nobody_has_to_listen():
    heard = []
    with progress.heard_by(heard.append):
        pass
    with progress.doing("export"):
        progress.say("Lava starts")
    assert heard == []
