"""What lightly-torchvision adds. Imported at start-up, so nothing heavy here."""

from lightly_core import Catalog, ModelsRecord, hookimpl

LIGHTLY_API = 2


@hookimpl
def lightly_register(catalog: Catalog) -> None:
    """Add the models."""
    catalog.add(
        ModelsRecord(
            name="torchvision",
            target="lightly_torchvision.library:TorchvisionLibrary",
            names="lightly_torchvision:models.txt",
            wraps=("torchvision",),
            requires=("torchvision>=0.23",),
            any_size=(
                *("convnext_*", "densenet*", "efficientnet_*", "mnasnet*", "mobilenet_*"),
                *("regnet_*", "resnet*", "resnext*", "shufflenet_*", "vgg*", "wide_resnet*"),
            ),
            facts="lightly_torchvision:facts.csv",
            weights=(
                (
                    "*",
                    "random; model_args.weights=DEFAULT loads those that torchvision publishes, "
                    "model_args.weights=FILE those of a file",
                ),
            ),
            summary="Every classification model of torchvision.",
        )
    )
