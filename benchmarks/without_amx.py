"""Runs a command as on a processor without AMX (Linux on x86-64).

    python benchmarks/without_amx.py python benchmarks/compression_gains.py static

A program must ask Linux before it uses AMX. A filter of system calls refuses that to the command
and to all that it starts; LiteRT's kernels then are those for AVX-512 or AVX2, as they are where
the processor has no AMX.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # prctl(2)
_ARCH_PRCTL, _REQUEST = 158, 0x1023  # arch_prctl(2), its ARCH_REQ_XCOMP_PERM
_LOAD, _IS_EQUAL, _RETURN = 0x20, 0x15, 0x06  # bpf(2)
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the latter with EPERM
_NUMBER, _FIRST_ARGUMENT = 0, 16  # places in what the filter sees of a call


def refuse_amx() -> None:
    """Refuse AMX to this process and its children, for good."""
    rules = [
        (_LOAD, 0, 0, _NUMBER),
        (_IS_EQUAL, 0, 3, _ARCH_PRCTL),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IS_EQUAL, 0, 1, _REQUEST),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter was not taken")


if __name__ == "__main__":
    refuse_amx()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command that was asked for
