"""``python sharded_on_cpu.py words...``: ``genai.train`` with trainer=fsdp on CPUs, which people are refused."""

import os

from genai.core.device import DeviceConfig


def resolved(self: DeviceConfig) -> DeviceConfig:
    return DeviceConfig("cpu", int(os.environ["PROCESSES"]), "32-true", "fsdp", 1)


if __name__ == "__main__":
    DeviceConfig.resolve = resolved  # type: ignore[method-assign]
    from genai.commands.train import main

    main()
