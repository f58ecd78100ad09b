import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.prototypes import DinoHead, Prototypes, freeze_gradients


def unit(*shape):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(1)), dim=-1)


@pytest.mark.parametrize("normalize", ["use", "step"])
def test_products_are_cosines(normalize):
    torch.manual_seed(0)
    prototypes = Prototypes(5, 7, normalize=normalize)
    x = unit(4, 5)
    found = prototypes(x)
    assert found.shape == (4, 7)
    for i in range(4):
        for k in range(7):
            row = prototypes.weight[k]
            assert found[i, k].item() == pytest.approx(
                float((x[i] @ row / row.norm()).detach()), abs=1e-6
            )


def test_cosines_take_vectors_of_any_length_and_half_precision():
    torch.manual_seed(0)
    prototypes = Prototypes(5, 7, learn_gain=True)
    with torch.no_grad():
        prototypes.gain.copy_(torch.arange(7))
    x = 3 * torch.randn(2, 4, 5)
    expected = F.cosine_similarity(x[:, :, None], prototypes.weight, dim=3) * torch.arange(7)
    torch.testing.assert_close(prototypes.cosines(x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = prototypes.cosines(x.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.02)


def test_lengths_of_rows_have_no_influence_where_they_are_free():
    prototypes, x = Prototypes(5, 7), unit(4, 5)
    before = prototypes(x)
    with torch.no_grad():
        prototypes.weight *= torch.arange(1, 8)[:, None]
    torch.testing.assert_close(prototypes(x), before)


def test_it_equals_torchs_weight_norm_with_gain_one():
    torch.manual_seed(0)
    prototypes, x = Prototypes(5, 7), unit(4, 5)
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(5, 7, bias=False))
    with torch.no_grad():
        linear.parametrizations.weight.original0.fill_(1)
        linear.parametrizations.weight.original1.copy_(prototypes.weight)
    coefficients = unit(4, 7)
    torch.testing.assert_close(prototypes(x), linear(x))
    (prototypes(x) * coefficients).sum().backward()
    (linear(x) * coefficients).sum().backward()
    torch.testing.assert_close(
        prototypes.weight.grad, linear.parametrizations.weight.original1.grad
    )


def test_after_a_step_rows_are_brought_back_to_the_sphere():
    prototypes = Prototypes(5, 7, normalize="step")
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(7))
    with torch.no_grad():
        prototypes.weight += 1
    direction = F.normalize(prototypes.weight.detach().clone(), dim=1)
    prototypes.normalize_weight()
    torch.testing.assert_close(prototypes.weight.detach(), direction)
    assert prototypes.weight.requires_grad


def test_initial_weights_are_as_in_the_papers():
    torch.manual_seed(0)
    normal = Prototypes(100, 300).weight
    assert normal.abs().max().item() <= 0.04
    assert normal.std().item() == pytest.approx(0.88 * 0.02, rel=0.03)
    uniform = Prototypes(100, 300, init="uniform").weight
    assert uniform.abs().max().item() == pytest.approx(0.1, rel=0.01)
    assert uniform.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.03)


def test_the_head_is_perceptron_sphere_and_prototypes():
    torch.manual_seed(0)
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5)
    x = torch.randn(4, 6)
    plain = x
    linears = [layer for layer in head.mlp if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linears] == [8, 8, 5]
    for layer in linears[:-1]:
        plain = F.gelu(plain @ layer.weight.T + layer.bias)
    plain = plain @ linears[-1].weight.T + linears[-1].bias
    plain = plain / plain.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head.embed(x), plain)
    rows = head.prototypes.weight / head.prototypes.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(x), plain @ rows.T)


def test_number_of_layers_and_batch_norm_are_options():
    assert len(DinoHead(6, 9, bottleneck_dim=5, num_layers=1).mlp) == 1
    kinds = {type(layer) for layer in DinoHead(6, 9, hidden_dim=8, batch_norm=True).mlp}
    assert nn.BatchNorm1d in kinds


def test_the_bottleneck_is_normalised_in_single_precision():
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedded = head.embed(torch.randn(4, 6))
    assert embedded.dtype == torch.float32
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(4))


def test_weights_may_be_half_precision():
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5).bfloat16()
    assert head(torch.randn(4, 6).bfloat16()).dtype == torch.bfloat16


def test_heads_of_student_and_teacher_start_equal():
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5)
    teacher = EmaTeacher({"head": head})
    x = torch.randn(4, 6)
    assert torch.equal(teacher["head"](x), head(x))


def test_prototypes_do_train():
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5)
    head(torch.randn(4, 6)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_a_frozen_last_layer_stands_still_and_the_rest_moves():
    torch.manual_seed(0)
    head = DinoHead(6, 9, hidden_dim=8, bottleneck_dim=5)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.1, weight_decay=0.1)
    moved = []
    for step in range(4):
        before = copy.deepcopy(head)
        head(torch.randn(4, 6)).square().sum().backward()
        freeze_gradients(head.prototypes, step=step, num_steps=2)
        optimizer.step()
        optimizer.zero_grad()
        moved.append(not torch.equal(head.prototypes.weight, before.prototypes.weight))
        assert not torch.equal(head.mlp[0].weight, before.mlp[0].weight)
    assert moved == [False, False, True, True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prototypes(0, 3), "dim=0"),
        (lambda: Prototypes(3, 0), "num_prototypes=0"),
        (lambda: Prototypes(3, 3, normalize="never"), "'never'"),
        (lambda: Prototypes(3, 3, init="zeros"), "'zeros'"),
        (lambda: DinoHead(3, 3, num_layers=0), "num_layers >= 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_learned_gain_multiplies_each_product_and_starts_at_one():
    torch.manual_seed(0)
    prototypes, x = Prototypes(5, 7, learn_gain=True), unit(4, 5)
    cosines = F.cosine_similarity(x[:, None], prototypes.weight[None], dim=2)
    torch.testing.assert_close(prototypes(x), cosines)
    factors = torch.arange(1.0, 8.0)
    with torch.no_grad():
        prototypes.gain.mul_(factors)
    torch.testing.assert_close(prototypes(x), cosines * factors)
    prototypes(x).sum().backward()
    torch.testing.assert_close(prototypes.gain.grad, cosines.sum(dim=0).detach())


def test_a_gain_needs_rows_whose_lengths_are_free():
    with pytest.raises(ValueError, match="learn_gain"):
        Prototypes(5, 7, normalize="step", learn_gain=True)
