"""A toy network, its wrapper and its library."""

from torch import nn

from lightly_core.contracts import ModelLibrary


class ToyNet(nn.Module):
    """Stride 4, width 8, a classifier that features do not use."""

    def __init__(self, channels=3, num_classes=5):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, kernel_size=4, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean(dim=(2, 3)))


class ToyWrapper(nn.Module):
    """The five members, and a class token if wanted."""

    def __init__(self, model=None, with_token=False):
        super().__init__()
        self.model = ToyNet() if model is None else model
        self.with_token = with_token

    def forward_features(self, x):
        features = self.model.dropout(self.model.norm(self.model.conv(x)))
        result = {"features": features}
        if self.with_token:
            result["cls_token"] = features.amax(dim=(2, 3))
        return result

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self):
        return 8

    def get_model(self):
        return self.model


class ToyLibrary(ModelLibrary):
    def create(self, name, *, num_input_channels, model_args):
        return ToyWrapper(ToyNet(num_input_channels, **model_args))

    def wrap(self, module, *, num_input_channels):
        return ToyWrapper(module)

    def names(self):
        return ["net"]

    def snippet(self, name, *, num_input_channels, model_args, file):
        return f"{name} {num_input_channels} {dict(model_args)} {file}"
