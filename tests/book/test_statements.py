"""The statements of the papers that a reading of them listed as unjudged, each with the claims that judge it now."""

import pytest

from relbook import papers

STATEMENTS = {
    "A: sensitivity to noise is gained in training": ["a-1-noise-gained", "a-1-noise-gained-original", "a-others-gain"],
    "A: D falls with depth after training, and not before": ["a-3-D-falls", "a-3-D-not-before"],
    "A: the correlation is built up layer by layer": ["a-1-built-up"],
    "A: D goes with the error among convolutional networks": ["a-1-centre-D-convolutional", "a-others-D"],
    "A: correlations weaken at large noise": ["a-10-large-noise"],
    "A: the curves of R overlap layer by layer": ["a-3-overlap"],
    "A: layers 2 to 5 become low-pass, and not others": [
        "a-4-row-1-layers-2-4",
        "a-4-row-1-layer-5",
        "a-4-row-1-not-later",
    ],
    "A: where filters smooth, R is the same when channels are shuffled": ["a-4-row-1-shuffled"],
    "A: pooling runs along the whole network": ["a-3-every-layer"],
    "A: the best on images are the best on scale detection": ["a-6-order"],
    "A: D and G, too, are built up in the first part": ["a-7-first-part-D", "a-7-first-part-G"],
    "A: all channels are the mean channel": ["a-9-top-alignment", "a-9-bottom-alignment", "a-7-mean-channel"],
    "A: low frequencies grow where R falls": ["a-7-growth-where-R-falls"],
    "A: task 2 in two dimensions": ["a-6-task-2"],
    "A: slope of G": ["a-9-top-trained-G", "a-9-bottom-trained-G"],
    "A: slope of R": ["a-9-top-trained-R"],
    "A: homogeneous filters": ["a-9-top-flatness", "a-9-bottom-flatness"],
    "A: without rectified noise G is pre-asymptotic": ["a-9-noise-preasymptotic"],
    "A: D is flat at initialisation": ["a-9-top-init-flat", "a-9-bottom-init-flat"],
    "A: the mean channel has G, too": ["a-9-top-mean-channel-G", "a-9-bottom-mean-channel-G"],
    "A: norms of responses in depth": ["a-8-norm", "a-8-gradient"],
    "Draft of A: spatial pooling contributes": ["a-3-draft-spatial"],
    "Draft of A: channel pooling contributes": ["a-3-draft-channels"],
    "B: stability alone does not go with performance": ["b-15-D-weaker"],
    "B: the gradient norm without a cut-off": ["b-1-norm-free"],
    "B: the two components are independent": ["b-1-independent"],
    "B: at small δ R depends on the interpolation": ["b-3-interpolation-small"],
    "B: a thousand images before R falls": ["b-3-threshold"],
    "B: no 1/P for an EfficientNet": ["b-3-efficientnet"],
    "B: R of connected networks hardly changes with P": ["b-4-connected-P"],
    "B: the gain is well spread": ["b-14-well-spread"],
    "B: LeNet is insensitive on one data set only": ["b-4-lenet", "b-4-lenet-slightly"],
    "B: R depends mildly on augmentation": ["b-12-pairs", "b-12-each-pair"],
    "B: R predicts better than depth": ["b-5-depth"],
    "B: transfer": ["b-5-transfer-learned"],
    "B: G alone is much less correlated": ["b-16-G-weaker"],
    "B: seeds scatter little": ["b-19-scatter", "b-22-seeds"],
    "B: small R, and G grows faster with P": ["b-6-noise-and-stability"],
    "B: a strong gradient along the boundary": ["b-7-boundary"],
    "B: R bounds the error from below": ["b-others-bound"],
    "B: augmentation by deformations": ["b-12-deformations-R", "b-12-deformations-error"],
    "C: pooling at the start, on ImageNet": ["c-3-imagenet-start"],
    "C: after training on ImageNet": ["c-3-imagenet-trained"],
    "C: upper layers on ImageNet": ["c-6-imagenet"],
    "C: Euclidean distance": ["c-3-euclidean"],
    "C: the pattern throughout the layers": ["c-3-throughout"],
    "C: training changes stability even with pooling": ["c-3-with-pooling"],
    "C: all classify about equally well": ["c-3-errors"],
    "C: similar smoothness, unlike with random labels": ["c-6-similar", "c-6-random-labels"],
    "C: with random labels smoothness goes with stability": ["c-6-random-stability"],
    "C: smoothness of untrained layers": ["c-baseline-quoted", "c-baseline-first-layer", "c-baseline-larger-layers"],
    "C: random images": ["c-7-random-images"],
    "C: every architecture and layer becomes smoother": ["c-6-every-network"],
    "C: how networks get there": ["c-3-trajectories"],
    "D: specific pixels": ["d-lazy-images-likeness", "d-lazy-images-pixels"],
    "D: few atoms": ["d-lazy-atoms"],
    "D: connected networks unlearn stability": ["d-lazy-images-unlearn-one", "d-lazy-images-unlearn-three"],
    "D: receptive field 2k + 1": ["d-two-pixels-field"],
    "D: inner layers of the constructions": ["d-two-pixels-first-layer"],
    "D: other scales": ["d-two-pixels-scales"],
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_has_a_claim(statement):
    live = {claim.id: claim for claim in papers.ledger()}
    found = [live[id_] for id_ in STATEMENTS[statement] if id_ in live]
    assert found, "superseded: name the rows that judge it now"
    assert all(claim.measure or claim.decides for claim in found)


def test_none_is_left_out():
    assert len(STATEMENTS) == 60
