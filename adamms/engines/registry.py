"""Which class is which kind of engine, and which kind fits a base on a device."""

from importlib import import_module

from adamms.engines.config import AUTO, ENGINES, EngineConfig, check_kind
from adamms.engines.engine import Engine, EngineSpec
from adamms.errors import UserError


def engine_class(kind: str) -> type[Engine]:
    """The class of a registered kind; what it builds on (vLLM, say) is not imported.

    Raises:
        UserError: it is not registered.
    """
    check_kind(kind)
    module, _, name = ENGINES[kind].partition(":")
    found: type[Engine] = getattr(import_module(module), name)
    return found


def fitting_kind(spec: EngineSpec) -> str:
    """The kind that `engine.kind` asks for; for `auto`, the first that is installed and fits the base and the device.

    Has to be asked in the process that will run the engine, since only there the device is known.

    Raises:
        UserError: what is asked for is not installed, or nothing fits.
    """
    from adamms.engines.devices import pick_device

    kind = spec.config.kind
    if kind != AUTO:
        if (missing := engine_class(kind).missing()) is not None:
            raise UserError(f"engine.kind={kind}: {missing}")
        return kind
    device, reasons = pick_device(spec.config.device).type, []
    for name in ENGINES:
        candidate = engine_class(name)
        reason = candidate.missing() or candidate.unfit(spec, device)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise UserError(f"engine.kind=auto: no engine fits ({'; '.join(reasons)}); name one with engine.kind")


def needed_gpus(config: EngineConfig) -> int:
    """GPUs of one engine, where there are any; the most of any kind while it is not known which one it will be."""
    kinds = ENGINES if config.kind == AUTO else [config.kind]
    return max(engine_class(kind).gpus(config) for kind in kinds)


def build(spec: EngineSpec) -> Engine:
    """Starts an engine of the kind that fits; it stands at the base's own weights."""
    return engine_class(fitting_kind(spec))(spec)
