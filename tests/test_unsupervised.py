"""LSH and ITQ beside FAISS's, SH on a rectangle worked out by hand, scikit-learn's rules for all three."""

import faiss
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import check_estimator

from ctrh.methods.itq import ITQ, learn_rotation, quantisation_loss
from ctrh.methods.lsh import LSH
from ctrh.methods.principal import principal_components
from ctrh.methods.sh import SH
from ctrh.retrieval.codes import pack
from ctrh.retrieval.metrics import evaluate

METHODS = [LSH, SH, ITQ]


@pytest.fixture(scope="module")
def clusters():
    """(2000, 48) float32 features around 12 centres in a narrow cone, as image features are, and labels."""
    random = np.random.default_rng(0)
    label = random.integers(12, size=2000)
    centres = 3 + random.standard_normal((12, 48)) * np.linspace(1.5, 0.2, 48)
    features = centres[label] + random.standard_normal((2000, 48)) * 0.8
    return features.astype(np.float32), np.eye(12, dtype=bool)[label]


def retrieval(codes, labels):
    return evaluate(codes[:200], codes[200:], labels[:200], labels[200:]).map_all


@pytest.mark.parametrize("method", METHODS)
def test_scikit_learn_conventions(method):
    check_estimator(
        method(bits=1),
        on_skip=None,
        expected_failed_checks={"check_transformer_preserve_dtypes": "codes are bits, whatever the features"},
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [1, 13, 32])
def test_codes_are_deterministic_and_leave_the_features_alone(method, bits, clusters):
    features, _ = clusters
    before = features.copy()
    codes = method(bits=bits).fit(features).transform(features)
    assert codes.shape == (2000, bits)
    assert codes.dtype == bool
    np.testing.assert_array_equal(codes, method(bits=bits).fit_transform(features))
    np.testing.assert_array_equal(features, before)
    assert 0 < codes.mean() < 1


@pytest.mark.parametrize("method", [LSH, ITQ])
def test_the_seed_decides(method, clusters):
    features, _ = clusters
    codes = [method(bits=16, seed=seed).fit_transform(features) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert (codes[0] != codes[2]).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("error")
def test_constant_features(method, clusters):
    features = clusters[0][:300].astype(np.float64)
    same = method(bits=8).fit_transform(np.full((50, 10), 0.1))
    assert (same == same[0]).all()
    # Some features constant: the codes of the others, for methods that look at the data.
    padded = np.hstack([features, np.full((300, 4), 7.0)])
    if method is not LSH:
        np.testing.assert_array_equal(
            method(bits=8).fit_transform(padded), method(bits=8).fit_transform(features)
        )


def test_every_method_beats_chance_and_itq_the_others(clusters):
    features, labels = clusters
    score = {method: retrieval(method(bits=32).fit_transform(features), labels) for method in METHODS}
    random = retrieval(np.random.default_rng(0).random((2000, 32)) < 0.5, labels)
    assert min(score.values()) > 2 * random
    assert score[ITQ] == max(score.values())


# LSH


def test_lsh_bits_differ_in_proportion_to_the_angle():
    angles = np.deg2rad([0, 60, 90, 180])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)])
    codes = LSH(bits=40_000, center=False).fit(vectors).transform(vectors)
    share = (codes != codes[0]).mean(axis=1)
    np.testing.assert_allclose(share, [0, 1 / 3, 1 / 2, 1], atol=0.01)


def test_lsh_gives_the_codes_of_faiss_for_the_same_planes(clusters):
    features, _ = clusters
    index = faiss.IndexLSH(48, 21, True, False)
    hasher = LSH(bits=21, center=False).fit(features)
    hasher.hyperplanes_ = faiss.vector_to_array(index.rrot.A).reshape(21, 48).T.astype(np.float64)
    assert np.abs(features @ hasher.hyperplanes_).min() > 1e-5  # no sign is left to float32's rounding
    np.testing.assert_array_equal(pack(hasher.transform(features)), index.sa_encode(features))


def test_lsh_retrieves_like_faiss_with_orthogonal_planes(clusters):
    # FAISS makes its planes orthogonal, which Charikar does not, and which helps when K comes near F.
    features, labels = clusters
    centred = features - features.mean(axis=0)
    scores = {"charikar": [], "orthogonal": [], "faiss": []}
    for seed in range(8):
        hasher = LSH(bits=32, seed=seed).fit(features)
        scores["charikar"].append(retrieval(hasher.transform(features), labels))
        hasher.hyperplanes_, _ = np.linalg.qr(hasher.hyperplanes_)
        scores["orthogonal"].append(retrieval(hasher.transform(features), labels))
        index = faiss.IndexLSH(48, 32, True, False)
        index.rrot.init(seed)
        codes = np.unpackbits(index.sa_encode(centred), axis=1, bitorder="little").astype(bool)
        scores["faiss"].append(retrieval(codes, labels))
    mean = {name: np.mean(values) for name, values in scores.items()}
    assert mean["orthogonal"] == pytest.approx(mean["faiss"], abs=0.03)
    assert mean["charikar"] == pytest.approx(mean["faiss"], abs=0.1)


def test_lsh_centres_because_features_fill_a_cone(clusters):
    features, labels = clusters
    centred, plain = (LSH(bits=32, center=c).fit_transform(features) for c in (True, False))
    assert retrieval(centred, labels) > retrieval(plain, labels)


# SH


def test_sh_on_a_rectangle_by_hand():
    # A grid over [0, 4.4] x [0, 1]: frequencies 1 / 4.4, ..., 4 / 4.4 come before 1 / 1, that before 5 / 4.4.
    x, y = (side.ravel() for side in np.meshgrid(np.linspace(0, 4.4, 89), np.linspace(0, 1, 24)))
    u = x / 4.4
    expected = np.column_stack(
        [
            u < 1 / 2,
            (u < 1 / 4) | (u > 3 / 4),
            (u < 1 / 6) | ((u > 1 / 2) & (u < 5 / 6)),
            (u < 1 / 8) | ((u > 3 / 8) & (u < 5 / 8)) | (u > 7 / 8),
            y < 1 / 2,
        ]
    )
    turn = np.deg2rad(30)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    # Where an eigenfunction is zero its sign is rounding.
    clear = (np.abs((u[:, None] * [1, 2, 3, 4] - 0.5) % 1) > 1e-9).all(axis=1)
    for points in (np.column_stack([x, y]), np.column_stack([x, y]) @ rotation + 5):
        hasher = SH(bits=5).fit(points)
        assert hasher.sides_.tolist() == [0, 0, 0, 0, 1]
        assert hasher.modes_.tolist() == [1, 2, 3, 4, 1]
        np.testing.assert_allclose(hasher.ranges_, [4.4, 1])
        np.testing.assert_array_equal(hasher.transform(points)[clear], expected[clear])
    assert SH(bits=7).fit(points).modes_.tolist() == [1, 2, 3, 4, 1, 5, 6]


def test_sh_bits_are_signs_of_the_laplacian_s_eigenvectors():
    # On a line of points the graph Laplacian can be diagonalised outright.
    count = 301
    laplacian = 2 * np.eye(count) - np.eye(count, k=1) - np.eye(count, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    vectors = np.linalg.eigh(laplacian)[1][:, 1:6]  # without the constant one
    vectors *= np.sign(vectors[0])
    codes = SH(bits=5).fit_transform(np.arange(count, dtype=float)[:, None])
    # The grid meets the box half a step from its ends, which moves a zero by less than a point.
    assert ((codes == (vectors >= 0)).mean(axis=0) >= 1 - 5 / count).all()


def test_sh_gives_more_bits_than_features():
    codes = SH(bits=6).fit_transform(np.random.default_rng(0).random((500, 2)))
    assert len(np.unique(codes, axis=1).T) == 6


# ITQ


def test_itq_loss_never_rises_and_the_rotation_stays_one(clusters):
    hasher = ITQ(bits=16).fit(clusters[0])
    assert len(hasher.losses_) == 51
    assert (np.diff(hasher.losses_) <= 1e-9).all()
    assert hasher.losses_[-1] < 0.97 * hasher.losses_[0]
    np.testing.assert_allclose(hasher.rotation_ @ hasher.rotation_.T, np.eye(16), atol=1e-10)


def test_itq_finds_the_rotation_that_was_hidden():
    # Corners of a square, turned by 30 degrees: the loss can be brought to (nearly) zero.
    corners = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 2))
    turn = np.deg2rad(30)
    V = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    R, losses = learn_rotation(V, np.eye(2), 50)
    assert losses[-1] < 1e-20
    np.testing.assert_allclose(np.abs(V @ R), 1)


@pytest.fixture(scope="module")
def projections(clusters):
    """V (2000, 16) of the clusters, and a first rotation."""
    features = clusters[0].astype(np.float64)
    centred = features - features.mean(axis=0)
    start, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((16, 16)))
    return centred @ principal_components(centred, 16), start


def test_itq_steps_are_scipy_s_procrustes(projections):
    V, R = projections
    learnt, _ = learn_rotation(V, R, 10)
    for _ in range(10):
        R, _ = orthogonal_procrustes(V, np.where(V @ R >= 0, 1.0, -1.0))
    np.testing.assert_allclose(learnt, R, atol=1e-9)


def faiss_rotation(V, start, iterations):
    """A of faiss.ITQMatrix, which maps a column v to A v: its R is A transposed."""
    matrix = faiss.ITQMatrix(V.shape[1])
    matrix.max_iter = iterations
    faiss.copy_array_to_vector(np.ascontiguousarray(start).ravel(), matrix.init_rotation)
    matrix.train(V.astype(np.float32))
    return faiss.vector_to_array(matrix.A).reshape(start.shape).astype(np.float64)


def test_itq_beside_faiss_which_takes_a_factor_transposed(projections):
    V, start = projections
    ours, losses = learn_rotation(V, start, 50)
    theirs = quantisation_loss(V, faiss_rotation(V, start, 50).T)
    assert losses[-1] <= 1.01 * theirs

    # Why FAISS (1.15) ends higher: with B^T V = S Omega T^T, Procrustes is A = S T^T, it computes S T. The
    # columns of S and T have free signs, so absolute values are compared. A corrected FAISS passes as well.
    S, _, T_transposed = np.linalg.svd(np.where(V @ start >= 0, 1.0, -1.0).T @ V)
    second_factor = np.abs(S.T @ faiss_rotation(V, start, 1))
    corrected = np.allclose(second_factor, np.abs(T_transposed), atol=1e-5)
    assert corrected or np.allclose(second_factor, np.abs(T_transposed.T), atol=1e-5)
    if corrected:
        assert losses[-1] == pytest.approx(theirs, rel=0.03)


def test_itq_gives_the_codes_of_faiss_for_the_same_rotation_and_retrieves_no_worse(clusters):
    features, labels = clusters
    # FAISS scales centred features to length 1, so both are given such features.
    features = features - features.mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    theirs = faiss.ITQTransform(48, 16, True)
    theirs.train(features)
    projected = theirs.apply(features)
    ours = ITQ(bits=16).fit(features)
    assert retrieval(ours.transform(features), labels) > retrieval(projected >= 0, labels) - 0.02

    A = faiss.vector_to_array(theirs.pca_then_itq.A).reshape(16, 48).astype(np.float64)
    ours.mean_ = faiss.vector_to_array(theirs.mean)
    ours.components_, _ = np.linalg.qr(A.T)
    ours.rotation_ = ours.components_.T @ A.T
    clear = np.abs(projected) > 1e-5  # elsewhere the sign is float32's rounding
    assert clear.mean() > 0.999
    np.testing.assert_array_equal(ours.transform(features)[clear], (projected >= 0)[clear])


def test_itq_has_at_most_one_bit_per_feature_and_image():
    features = np.random.default_rng(0).standard_normal((50, 8))
    assert ITQ(bits=8).fit_transform(features).shape == (50, 8)
    with pytest.raises(ValueError, match="9 bits, 8 feature"):
        ITQ(bits=9).fit(features)
    with pytest.raises(ValueError, match=r"5 principal components .* \(4, 8\)"):
        ITQ(bits=5).fit(features[:4])


@pytest.mark.parametrize("images", [2000, 30])  # more than the 48 features, and fewer
def test_principal_components_are_scikit_learn_s(clusters, images):
    features = clusters[0][:images].astype(np.float64)
    directions = principal_components(features - features.mean(axis=0), 10)
    expected = PCA(10, svd_solver="full").fit(features).components_.T
    largest = np.abs(expected).argmax(axis=0)
    expected *= np.sign(expected[largest, range(10)])
    np.testing.assert_allclose(directions, expected, atol=1e-9)


@pytest.mark.parametrize("rank", [0, 3, 7])
def test_principal_components_beyond_the_rank_are_directions_too(rank):
    """Eight images have at most seven of their own: the rest is at right angles to them, as a full basis is."""
    random = np.random.default_rng(0)
    centred = random.standard_normal((8, rank)) @ random.standard_normal((rank, 20))
    centred -= centred.mean(axis=0)
    directions = principal_components(centred, 8)
    np.testing.assert_allclose(directions.T @ directions, np.eye(8), atol=1e-9)
    np.testing.assert_allclose(centred @ directions @ directions.T, centred, atol=1e-9)
