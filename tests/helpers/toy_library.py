"""A library of the tiny backbones, for tests of the checks of libraries."""

from lightly_core.contracts import ModelLibrary
from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.testing import TinyConv, TinyTokens

MODELS = {"conv": TinyConv, "tokens": TinyTokens}


class Toys(ModelLibrary):
    """The tiny backbones as a library; the snippet uses them directly."""

    examples = ("conv", "tokens")

    def create(self, name, *, num_input_channels, model_args):
        if name not in MODELS:
            raise UnknownModelError(f"toys has no model {name!r}\n  known: conv, tokens")
        try:
            return MODELS[name](num_input_channels, **model_args)
        except TypeError as error:
            raise ConfigError(f"model_args of toys/{name}: {error}") from error

    def wrap(self, module, *, num_input_channels):
        raise ConfigError("toys are built by name")

    def names(self):
        return list(MODELS)

    def snippet(self, name, *, num_input_channels, model_args, file):
        arguments = ", ".join(f", {key}={value!r}" for key, value in model_args.items())
        return "\n".join(
            [
                "import torch",
                "from lightly_core.testing import TinyConv, TinyTokens",
                f"model = {MODELS[name].__name__}({num_input_channels}{arguments}).get_model()",
                f"model.load_state_dict(torch.load({str(file)!r}, weights_only=True))",
            ]
        )
