import json
from itertools import islice

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted
from small import SMALL, TINY

from radar_nb.beyond.detector import VariantDetector, load_detector, noise_free_detector
from radar_nb.data.images import write_image
from radar_nb.data.named import load_dataset
from radar_nb.experiments.metrics import best_f1, image_metrics
from radar_nb.method.detector import RadarDetector
from radar_nb.runs.kit import Kit
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY


@pytest.fixture(scope="module")
def data():
    return load_dataset("printed", SMALL)


def test_scikit_learn_conventions(tiny_unet, data):
    detector = RadarDetector(timestep=100, unet=tiny_unet, training=TINY, contamination=0.1)
    assert detector.get_params()["timestep"] == 100
    twin = clone(detector.set_params(timestep=150))
    assert twin.timestep == 150 and twin is not detector
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    with pytest.raises(NotFittedError):
        twin.predict(data.test)
    assert twin.fit(data.calibrate) is twin
    check_is_fitted(twin)
    assert set(twin.fit_predict(data.calibrate)) <= {-1, 1}
    pipeline = make_pipeline(FunctionTransformer(), detector).fit(np.stack(list(data.calibrate)))
    assert pipeline.predict(np.stack(list(data.test))).shape == (len(data.test),)
    assert np.array_equal(pipeline.score_samples(data.test), clone(detector).fit(data.calibrate).score_samples(data.test))


def test_shapes_types_and_signs(detector, data):
    count, side = len(data.test), SMALL.side
    scores = detector.score_samples(data.test)
    assert scores.shape == (count,) and np.array_equal(detector.predict(data.test), np.where(scores < detector.forest_.offset_, -1, 1))
    assert np.allclose(detector.decision_function(data.test), scores - detector.forest_.offset_)
    maps, masks = detector.anomaly_maps(data.test), detector.segment(data.test)
    assert maps.shape == masks.shape == (count, side, side) and maps.dtype == np.float32 and masks.dtype == bool
    assert np.array_equal(masks, maps > detector.pixel_threshold_)
    assert detector.noise_maps(data.test).shape == (count, 1, side, side)
    assert detector.score_samples([]).shape == (0,)


def test_inspect_agrees_with_the_rest(detector, data):
    findings = list(detector.inspect(data.test))
    assert np.allclose([f["score"] for f in findings], detector.score_samples(data.test))
    assert np.array_equal([1 if f["normal"] else -1 for f in findings], detector.predict(data.test))
    assert np.array_equal(np.stack([f["mask"] for f in findings]), detector.segment(data.test))


def test_it_finds_defects(detector, data):
    assert image_metrics(data.labels, -detector.score_samples(data.test), detector.predict(data.test) < 0)["image_auroc"] > 0.9


def test_a_score_depends_on_its_image_alone(detector, data, tmp_path):
    """Not on the batch, the order, or whether it came as an array, a path or from a generator."""
    scores = detector.score_samples(data.test)
    write_image(tmp_path / "one.png", data.test[3])
    ways = (detector.score_samples([data.test[3]])[0], detector.score_samples([tmp_path / "one.png"])[0],
            detector.score_samples(data.test[::-1])[len(scores) - 4], detector.score_samples(x for x in data.test)[3],
            detector.score_samples([data.test[3] / np.float32(255)])[0])
    assert np.allclose(ways, scores[3], atol=1e-6)


def test_a_generator_is_read_batch_by_batch(detector, data):
    taken = []

    def images():
        for index in range(1000):
            taken.append(index)
            yield data.test[index % len(data.test)]

    assert len(list(islice(detector.inspect(images()), 3))) == 3
    assert len(taken) <= 2 * detector.batch_size


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (64, 100)])
@pytest.mark.parametrize("stride", [None, 16])
@pytest.mark.parametrize("reading", ["predicted", "residual", "noise_free"])
def test_any_size_reading_and_stride(released_unet, rng, shape, stride, reading):
    images = [rng.integers(0, 256, shape, np.uint8) for _ in range(3)]
    detector = RadarDetector(reading=reading, stride=stride, unet=released_unet, calibration_points=30).fit(images)
    assert detector.anomaly_maps(images).shape == (3, *shape)


def test_mixed_sizes_give_lists(detector, data):
    images = [data.test[0], data.test[0][:40], data.test[1]]
    assert [m.shape for m in detector.anomaly_maps(images)] == [(64, 64), (40, 64), (64, 64)]
    assert detector.score_samples(images).shape == (3,)


def test_large_images_go_through_in_tiles_one_at_a_time(released_unet, rng, tmp_path):
    """An image no larger than a tile is scored as ever, bit for bit; `tile` is kept, and folders from before it load."""
    small, large = [rng.integers(0, 256, (96, 90), np.uint8) for _ in range(3)], [rng.integers(0, 256, (97, 180), np.uint8) for _ in range(2)]
    detector = noise_free_detector(unet=released_unet, tile=None, calibration_points=0, decision="local_norm").fit(small)
    whole, whole_of_large, papers = detector.features(small), detector.features(large), detector.set_params(stride=32).features(large)
    detector.set_params(tile=96)
    assert np.array_equal(detector.features(large), papers), "the paper's patches know no tile"
    detector.set_params(stride=None)
    assert np.array_equal(detector.features(small), whole)
    calls = []
    watch = released_unet.register_forward_pre_hook(lambda module, inputs: calls.append(inputs[0].numel()))
    tiled = detector.features(large)
    watch.remove()
    assert max(calls) <= 96 * 96 and len(calls) > len(large) and not np.array_equal(tiled, whole_of_large)
    assert detector.anomaly_maps(large).shape == (2, 97, 180)
    for tile, expected in ((96, tiled), (None, whole_of_large)):
        detector.set_params(tile=tile).save_pretrained(tmp_path / str(tile))
        loaded = load_detector(tmp_path / str(tile))
        assert loaded.tile == tile and np.array_equal(loaded.features(large), expected)
    assert RadarDetector.from_pretrained(REPOSITORY / "weights" / "printed").tile == 512, "a folder from before there were tiles"


def test_fit_trains_where_there_is_no_unet(data):
    detector = RadarDetector(training=TINY).fit(data.train)
    assert detector.unet_.config.block_out_channels == (8, 8) and len(detector.calibration_features_) >= 200
    again = RadarDetector(training=TINY).fit(data.train)
    assert np.array_equal(detector.score_samples(data.test), again.score_samples(data.test))


def test_rgb(data):
    colour = [np.stack([image] * 3, axis=-1) for image in data.train]
    detector = RadarDetector(training=TINY).fit(colour)
    assert detector.channels_ == 3 and detector.noise_maps(colour[:1]).shape == (1, 3, 64, 64)
    with pytest.raises(InputError, match=r"images\[0\]: grey, but RGB is expected"):
        detector.predict(data.test)


def test_save_and_load_give_the_same_detector_and_no_pickle(detector, data, tmp_path):
    detector.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors", "detector.json", "calibration.safetensors", "SHA256SUMS"}
    loaded = RadarDetector.from_pretrained(tmp_path)
    assert np.array_equal(loaded.score_samples(data.test), detector.score_samples(data.test))
    assert np.array_equal(loaded.segment(data.test), detector.segment(data.test))


OPTIONS = {"covariance": {"map_kind": "covariance"}, "magnitude": {"map_kind": "magnitude"}, "standardise": {"standardise": True}, "local_quantile": {"local_quantile": 0.99},
           "mahalanobis": {"decision": "mahalanobis"}, "one_class_svm": {"decision": "one_class_svm"}, "local_norm": {"decision": "local_norm"}, "one_sided": {"one_sided": True},
           "border": {"border": 6}, "several timesteps": {"timestep": (100, 200)}, "lof": {"decision": "lof"}, "step": {"window_step": 16},
           "tilings": {"tilings": 2}, "draws": {"draws": 2, "reading": "predicted", "timestep": 1}}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_decides_near_its_contamination_and_survives_saving(name, detector, data, tmp_path):
    chosen = noise_free_detector(unet=detector.unet_, contamination=0.1, **OPTIONS[name]).fit(data.calibrate)
    alarms = np.mean(chosen.predict(data.calibrate) == -1)
    assert alarms <= 0.2, f"{alarms:.0%} of the calibration images are called anomalous"
    scores = chosen.score_samples(data.test)
    assert not np.allclose(scores, detector.score_samples(data.test)), "the option does something"
    findings = list(chosen.inspect(data.test))
    assert np.allclose([finding["score"] for finding in findings], scores, rtol=1e-5)
    assert all(finding["anomaly_map"].shape == (SMALL.side, SMALL.side) for finding in findings)
    chosen.save_pretrained(tmp_path)
    loaded = load_detector(tmp_path)
    assert np.array_equal(loaded.predict(data.test), chosen.predict(data.test))
    assert np.allclose(loaded.score_samples(data.test), scores, rtol=1e-6)


def test_several_draws_are_averaged(detector, data):
    """Each with the noise of its own seed: the first is that of a detector with one draw."""
    maps = [VariantDetector(unet=detector.unet_, random_state=seed).fit(data.calibrate[:4]).noise_maps(data.test[:2]) for seed in (5, 6, 7)]
    averaged = VariantDetector(unet=detector.unet_, random_state=5, draws=3).fit(data.calibrate[:4])
    assert np.allclose(averaged.noise_maps(data.test[:2]), np.mean(maps, axis=0), atol=1e-6)


def test_the_papers_recipe_is_the_default():
    """Slides 9 and 10: one forward step, blur and Sobel of kernel 5, windows of 20 x 20, contamination 0.05."""
    recipe = {"timestep": 1, "reading": "predicted", "blur": 5, "sobel": 5, "window": 20, "decision": "isolation_forest", "contamination": 0.05}
    for detector in (RadarDetector(), VariantDetector()):
        assert recipe.items() <= detector.get_params().items()
    assert len(RadarDetector().get_params()) <= 15


@pytest.mark.parametrize("arguments", [{"patch_size": 28, "stride": 1}, {"decision": "lof"}, {"window_step": 20}])
def test_what_the_slides_also_tell_is_one_argument_away(detector, data, arguments, tmp_path):
    normal, test = ([image[:36, :40] for image in images] for images in (data.calibrate[:3], data.test[:2]))  # 117 places of a patch
    slides = RadarDetector(unet=detector.unet_, calibration_points=20, **arguments).fit(normal)
    scores = slides.score_samples(test)
    assert np.isfinite(scores).all() and slides.anomaly_maps(test[:1]).shape == (1, 36, 40)
    slides.save_pretrained(tmp_path)
    assert np.array_equal(RadarDetector.from_pretrained(tmp_path).score_samples(test), scores)


def test_a_folder_with_options_beyond_the_paper_says_who_loads_it(detector, data, tmp_path):
    noise_free_detector(unet=detector.unet_, border=4).fit(data.calibrate).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="border=4 is beyond the paper's recipe: radar_nb.load_detector"):
        RadarDetector.from_pretrained(tmp_path)
    assert load_detector(tmp_path).border == 4


@pytest.mark.parametrize(("arguments", "named"), [
    ({"timestep": "200"}, "timestep='200': give a whole number from 0 to 999"), ({"timestep": 1.5}, "timestep=1.5"),
    ({"window": True}, "window=True"), ({"batch_size": 2.5}, "batch_size=2.5: give a whole number"), ({"blur": 4}, "blur=4: choose one of 1, 3"),
    ({"contamination": "5 %"}, "contamination='5 %'"), ({"contamination": float("nan")}, "contamination=nan"), ({"sobel": None}, "sobel=None"),
    ({"tilings": 2, "stride": 8}, "tilings=2: choose either this or stride")])
def test_arguments_of_the_wrong_kind_are_named(data, arguments, named):
    with pytest.raises(InputError, match=named):
        VariantDetector(**arguments).fit(data.train)


def test_a_mended_detector_ranks_beyond_its_calibration_images(detector, data):
    """A forest gives all far points one score; a distance goes on growing."""
    features = detector.calibration_features_.mean(axis=0) * np.array([[2.0, 4.0], [4.0, 8.0], [8.0, 16.0]])
    assert np.ptp(detector.forest_.score_samples(features)) < 1e-9
    for decision in ("mahalanobis", "local_norm"):
        mended = VariantDetector(unet=detector.unet_, decision=decision).fit(data.calibrate)
        assert (np.diff(mended.forest_.score_samples(features)) < 0).all()
        assert np.array_equal(mended.forest_.predict(features), [-1, -1, -1])


def test_the_local_norm_alone_does_not_see_the_global_one(detector, data):
    chart = VariantDetector(unet=detector.unet_, decision="local_norm").fit(data.calibrate)
    features = np.tile(np.median(detector.calibration_features_, axis=0), (3, 1)) * [[1, 1], [5, 1], [1, 5]]
    assert np.array_equal(chart.forest_.predict(features), [1, 1, -1])


def test_one_sided_does_not_call_a_quiet_image_anomalous(detector, data):
    quiet = detector.calibration_features_.min(axis=0, keepdims=True) * 0.3
    one_sided = VariantDetector(unet=detector.unet_, one_sided=True).fit(data.calibrate)
    assert detector.forest_.score_samples(quiet)[0] < detector.offset_
    assert one_sided.forest_.score_samples(one_sided._decided_on(quiet))[0] >= one_sided.offset_


def test_a_border_hides_what_happens_in_it(detector, data):
    bordered = VariantDetector(unet=detector.unet_, border=8).fit(data.calibrate)
    noise = detector.noise_maps(data.test[:1])
    loud = noise.copy()
    loud[..., :4] += 50
    assert np.allclose(bordered._sobel(loud), bordered._sobel(noise)) and not np.allclose(detector._sobel(loud), detector._sobel(noise))


@pytest.mark.parametrize("damage", ["missing", "no_json", "extra_key", "no_features", "wrong_value"])
def test_a_damaged_folder_is_named(detector, tmp_path, damage):
    detector.save_pretrained(tmp_path)
    config = tmp_path / "detector.json"
    if damage == "missing":
        config.unlink()
    elif damage == "no_json":
        config.write_text("{")
    elif damage == "no_features":
        (tmp_path / "calibration.safetensors").write_bytes(b"nothing")
    else:
        change = {"surprise": 1} if damage == "extra_key" else {"reading": "tea_leaves"}
        config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(InputError, match="tea_leaves" if damage == "wrong_value" else "not a saved detector"):
        RadarDetector.from_pretrained(tmp_path)


@pytest.mark.parametrize(("arguments", "named"), [({"reading": "clean"}, "reading='clean'"), ({"contamination": 0}, "contamination=0"),
                                                  ({"timestep": 1000}, "timestep=1000"), ({"timestep": ()}, r"timestep=\(\)"),
                                                  ({"decision": "coin"}, "decision='coin'"), ({"map_kind": "scharr"}, "map_kind='scharr'"),
                                                  ({"local_quantile": 0}, "local_quantile=0"), ({"border": -1}, "border=-1"), ({"border": 15}, "border=15"), ({"tile": 32}, "tile=32: choose 96")])
def test_bad_parameters_are_named(data, arguments, named):
    with pytest.raises(InputError, match=named):
        VariantDetector(**arguments).fit(data.train)


def test_bad_images_are_named(detector, data):
    for images in ([], data.calibrate[:1]):
        with pytest.raises(InputError, match="give at least"):
            RadarDetector(training=TINY).fit(images)
        with pytest.raises(InputError, match="to calibrate on"):
            RadarDetector(unet=detector.unet_).fit(images)
    with pytest.raises(InputError, match=r"images\[1\]: 24 x 64 is smaller than a patch"):
        detector.predict([data.test[0], data.test[0][:24]])


@pytest.mark.parametrize("name", ["printed", "texture"])
def test_own_threshold_is_near_the_best_one(name):
    """The forest has seen enough held-out normal images: F1 agrees with AUROC."""
    kit = Kit("cpu", name)
    detector = RadarDetector.from_pretrained(REPOSITORY / "weights" / name)
    scores = -detector.score_samples(kit.data.test)
    result = image_metrics(kit.data.labels, scores, scores > -detector.forest_.offset_)
    assert best_f1(kit.data.labels, scores) - result["f1"] <= 0.05
    if name == "printed":
        assert result["image_auroc"] >= 0.99 and result["f1"] >= 0.95
