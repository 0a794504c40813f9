"""What sees every operation of a model, without loading torch's compiler."""

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):
    """A mode that is not hidden from torch's compiler, which takes a second to load: models run as they are written."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
