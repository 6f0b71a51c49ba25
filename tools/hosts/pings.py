# SPDX-License-Identifier: Apache-2.0
"""Echo requests of a station to one address, and what became of them."""
import collections
import struct
import time

NUMBER = struct.Struct(">Q")  # at the beginning of what an echo request carries
WINDOW = 4096  # requests whose answers are told apart; older ones that were not answered stay lost


class Pings:
    """Numbered echo requests to one address, and what became of them: `sent`, `answered`, `duplicated` (answered once
    more), `late` (answered when a later one already was), `damaged` (came back with something else in it)."""

    def __init__(self, news, ip, every, size, identifier):
        self.identifier = identifier  # of its requests: an answer to others is none of ours
        self._news, self._ip, self._every, self._size = news, ip, every, max(size, NUMBER.size)
        self.sent = self.answered = self.duplicated = self.late = self.damaged = 0
        self._open = collections.OrderedDict()  # numbers without an answer
        self._newest = -1  # the highest number with one
        self.due = time.monotonic()  # when the next one is sent

    @property
    def lost(self):
        return self.sent - self.answered

    def missing(self):
        """Numbers of requests that were not answered, the last WINDOW of them."""
        with self._news:
            return list(self._open)

    def go_on(self, count, patience=60.0):
        """Waits until `count` requests that are sent from now on have been answered. TimeoutError when they are not."""
        with self._news:
            first = self.sent

            def answered():
                return self.sent - first - sum(number >= first for number in self._open)
            if not self._news.wait_for(lambda: answered() >= count, patience):
                raise TimeoutError(f"{answered()} of {self.sent - first} echo requests to {self._ip} were answered within "
                                   f"{patience:.0f} s")

    def stop(self, patience=2.0):
        """Sends no more, and waits for answers that are still to come."""
        with self._news:
            self.due = float("inf")
            self._news.wait_for(lambda: not self._open, patience)
        return self

    # ---- by the station's thread

    def next_request(self, now):
        """What it carries, or None when it is not due yet. What was slept through is not made up for."""
        if now < self.due:
            return None
        self.due = now + self._every
        number, self.sent = self.sent, self.sent + 1
        self._open[number] = None
        if len(self._open) > WINDOW:
            self._open.popitem(last=False)
        return self._payload(number)

    def take_answer(self, payload):
        number = NUMBER.unpack_from(payload)[0] if len(payload) >= NUMBER.size else self.sent
        if number >= self.sent or payload != self._payload(number):
            self.damaged += 1
        elif number in self._open:
            del self._open[number]
            self.answered += 1
            self.late += number < self._newest
            self._newest = max(self._newest, number)
        elif number >= self.sent - WINDOW:
            self.duplicated += 1

    def _payload(self, number):
        filling = bytes((number + at) & 0xff for at in range(self._size - NUMBER.size))
        return NUMBER.pack(number) + filling
