import numpy as np
import pytest
from PIL import Image

from lightly_core.data.base import ImageSource, Labels
from lightly_core.errors import DataError
from lightly_core.evaluation.plan import plan_split, plan_validation, sample


class Named(ImageSource):
    """Images whose classes are words."""

    def __init__(self, words, *, labelled=True, classes=None):
        self.words = list(words)
        self.labelled = labelled
        self.classes = tuple(classes or sorted(set(self.words)))

    def __len__(self):
        return len(self.words)

    def name(self, index):
        return f"{self.words[index]}/{index}.png"

    def load(self, index):
        return Image.new("RGB", (8, 8))

    def labels(self):
        if not self.labelled:
            return None
        targets = np.array([self.classes.index(word) for word in self.words])
        return Labels(targets, self.classes, "class folders")


def validation(source, val_source, max_images=1000, seed=0):
    return plan_validation(source, val_source, max_images=max_images, query_fraction=0.2, seed=seed)


def words(part, plan):
    """Class names that the plan gives to the images, and those that the images have."""
    given = [plan.classes[target] for target in part.targets]
    return given, [part.source.words[index] for index in part.indices]


def test_classes_are_matched_by_name_not_by_number():
    data = Named(["cat", "dog", "ape", "dog"], classes=("dog", "cat", "ape"))
    val = Named(["dog", "cat", "cat"], classes=("cat", "dog"))
    plan = validation(data, val)
    for part in (plan.train, plan.query):
        given, own = words(part, plan)
        assert given == own
    assert plan.train.indices.tolist() == [0, 1, 2, 3]
    assert plan.query.indices.tolist() == [0, 1, 2]
    assert plan.notes == ("val_data has no image of 1 classes: ape",)


@pytest.mark.parametrize(
    ("data", "val", "message"),
    [
        (Named("ab"), Named("ab", labelled=False), "config.val_data: no labels: "),
        (Named("ab"), Named("aaa"), "config.val_data: all 3 images are of one class, 'a'"),
        (Named("aab"), Named("abxy"), "val_data has 2 classes without any image in data: .*x.*y"),
        (Named("abcd", labelled=False), Named("ab"), "fewer than two have at least two images"),
    ],
)
def test_labels_that_are_of_no_use_are_refused(data, val, message):
    with pytest.raises(DataError, match=message):
        validation(data, val)


def test_unlabelled_data_leaves_the_validation_images_to_classify_each_other():
    val = Named("ab" * 20)
    plan = validation(Named("ab", labelled=False), val)
    assert plan.train.source is plan.query.source is val
    assert (len(plan.train.indices), len(plan.query.indices)) == (32, 8)
    assert plan.notes[0].startswith("data has no labels")


def test_at_most_so_many_images_of_each_side_with_the_same_share_of_each_class():
    source = Named("a" * 300 + "b" * 100 + "c" * 2)
    plan = validation(source, source, max_images=40)
    for part in (plan.train, plan.query):
        counts = np.bincount(part.targets)
        assert counts.sum() <= 40
        assert counts[0] == pytest.approx(3 * counts[1], abs=2)
        assert counts[2] == 1
    assert validation(source, source, max_images=40).train.indices.tolist() == (
        plan.train.indices.tolist()
    )
    other = validation(source, source, max_images=40, seed=1)
    assert other.train.indices.tolist() != plan.train.indices.tolist()


def test_sample_takes_all_where_there_is_room():
    assert sample(np.array([2, 0, 1]), 3, seed=0).tolist() == [0, 1, 2]


def test_sample_of_more_classes_than_images_still_has_the_right_size():
    chosen = sample(np.arange(100), 7, seed=0)
    assert len(set(chosen.tolist())) == 7


def test_split_needs_labels():
    reason = plan_split(Named("ab", labelled=False), max_images=10, query_fraction=0.2, seed=0)
    assert reason.startswith("no labels")


def test_sample_of_as_many_images_as_classes_takes_one_of_each():
    targets = np.repeat(np.arange(7), 9)
    for seed in range(5):
        assert targets[sample(targets, 7, seed=seed)].tolist() == list(range(7))
