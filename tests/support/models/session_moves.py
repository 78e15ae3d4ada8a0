# SPDX-License-Identifier: Apache-2.0
"""What can happen to a session, by name: each move is given a number from 0 to 7 to choose by."""

from collections.abc import Callable
from random import Random

from tests.support.models.session import World

PICKS = 8
Move = Callable[[World, int], None]


def progress(world: World, pick: int) -> None:
    """Whatever is under way comes one step further, once or more."""
    for _ in range(1 + pick % 4):
        world.to_server_from_user(0)
        world.to_card(0)
        if pick % 2:
            world.host.finish()
        world.to_server_from_card(0)
        world.to_user(0)


def reconnect(world: World, pick: int) -> None:
    """Everyone comes back, in one order or the other."""
    if pick % 2:
        world.user_connects()
        world.card_connects()
    else:
        world.card_connects()
        world.user_connects()


def recover(world: World, pick: int) -> None:
    """All is well again, and maybe a command is asked and on its way."""
    world.mend()
    if pick % 2:
        world.user.ask(batch=False)
    progress(world, pick)


def cut_user(world: World, pick: int) -> None:
    if pick % 4 != 1:
        world.user.lose_server()
    if pick % 4 != 2:
        world.server_notices_user(len(world.user_lines) - 1)


def come_back_while_it_runs(world: World, pick: int) -> None:
    """A user is back before their command is answered, and maybe refused what they ask then."""
    if not world.host.busy:
        return
    cut_user(world, pick)
    world.user_connects()
    for _ in range(2):
        world.to_server_from_user(0)
        world.to_card(0)
        world.to_server_from_card(0)
        world.server.refusing = pick % 2 > 0
        world.to_user(0)


def cut_card(world: World, pick: int) -> None:
    if pick % 4 != 1:
        world.card_notices()
    if pick % 4 != 2:
        world.server_notices_card(len(world.card_lines) - 1)


def restart(world: World, pick: int) -> None:
    """A server stops, announced or not."""
    if pick % 2 and not world.server.draining:
        world.server.draining = True
        return
    world.server_restarts()
    if pick % 4 < 2:
        world.user.lose_server()
        world.card_notices()


def refuse(world: World, pick: int) -> None:
    if pick % 4 == 1:
        world.server.refusing = True
    elif pick % 2:
        world.server.crowded = True
    else:
        world.host.refusing = True


def time_passes(world: World, pick: int) -> None:
    at_user, at_card = ((1, 1), (1, 1), (30, 1), (1, 30), (1, 1), (30, 30), (61, 1), (1, 61))[pick]
    world.time_passes(at_user, at_card, remembered=bool(pick % 3))


FLOW: dict[str, Move] = {
    "ask": lambda world, pick: world.user.ask(batch=pick == 7),
    "to_server_from_user": World.to_server_from_user,
    "to_card": World.to_card,
    "card_finishes": lambda world, _: world.host.finish(),
    "to_server_from_card": World.to_server_from_card,
    "to_user": World.to_user,
    "progress": progress,
    "much_progress": progress,
}
LINES: dict[str, Move] = {
    "cut_user": cut_user,
    "come_back_while_it_runs": come_back_while_it_runs,
    "cut_card": cut_card,
    "reconnect": reconnect,
    "recover": recover,
    "recover_again": recover,
    "server_notices_user": World.server_notices_user,
    "server_notices_card": World.server_notices_card,
    "network_loses": World.network_loses,
    "restart": restart,
}
HOSTILE: dict[str, Move] = {
    "copy_to_card": World.copy_to_card,
    "copy_to_user": World.copy_to_user,
    "repeats_old": lambda world, pick: world.impostor(pick, "old"),
    "changes_old": lambda world, pick: world.impostor(pick, "changed"),
    "sends_unnumbered": lambda world, pick: world.impostor(pick, "unnumbered"),
    "claims": lambda world, pick: world.impostor(pick, "claim"),
}
UPSETS: dict[str, Move] = {
    "give_up": lambda world, _: world.user.give_up(),
    "refuse": refuse,
    "time_out": lambda world, _: world.server.time_out(),
}
ENDS: dict[str, Move] = {
    "time_passes": time_passes,
    "pull": lambda world, pick: world.pull(told=pick % 2 > 0, remembered=pick % 4 > 0),
}
WEIGHTS = ((FLOW, 70), (LINES, 20), (HOSTILE, 5), (UPSETS, 3), (ENDS, 2))


def random_trace(seed: int, steps: int) -> World:
    """Let moves that are drawn from a seed happen, and then heal the network."""
    random, world = Random(seed), World()
    groups = [group for group, _ in WEIGHTS]
    weights = [weight for _, weight in WEIGHTS]
    for group in random.choices(groups, weights, k=steps):
        move = group[random.choice(list(group))]
        move(world, random.randrange(PICKS))
        world.check()
    world.heal()
    return world
