#!/usr/bin/python3
"""Train the two sample models on real handwritten digits and write what they need.

Needs Debian's python3-sklearn, which carries the data set; no network. Run from
anywhere, with the system's interpreter:

    apt-get install python3-sklearn
    /usr/bin/python3 build/sample/train/train.py            # weights and testdata
    /usr/bin/python3 build/sample/train/train.py --select   # how the settings were chosen

450 of the 1,797 samples are held out before anything else happens. Training and
the choice of settings see only the other 1,347.
"""

import argparse
import json
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

SEED = 0
HELD_OUT = 450
PENALTY = 10.0
GAMMA = 0.001  # chosen by --select: most right, then fewest vectors
SHIFTS = 9     # chosen by --select
HIDDEN = 64    # chosen by --select

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = ROOT / "build" / "sample" / "weights"
SAMPLES = ROOT / "testdata" / "digits"


def split():
    """Pixels 0..16, labels, and the indices of training and held-out samples."""
    data = load_digits()
    every = np.arange(len(data.target))
    train, held = train_test_split(
        every, test_size=HELD_OUT, random_state=SEED, stratify=data.target)
    return data.data, data.target, np.sort(train), np.sort(held)


def shifted(pixels, labels, count):
    """The pictures moved by up to one pixel: not at all, along an axis, or also diagonally."""
    pictures, moved = pixels.reshape(-1, 8, 8), []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if abs(dy) + abs(dx) > {1: 0, 5: 1, 9: 2}[count]:
                continue
            canvas = np.zeros_like(pictures)
            canvas[:, max(dy, 0):8 + min(dy, 0), max(dx, 0):8 + min(dx, 0)] = \
                pictures[:, max(-dy, 0):8 + min(-dy, 0), max(-dx, 0):8 + min(-dx, 0)]
            moved.append(canvas.reshape(-1, 64))
    return np.vstack(moved), np.tile(labels, count)


def fit_svm(pixels, labels, gamma, count):
    """One support vector machine per digit, that digit against the rest."""
    machine = OneVsRestClassifier(SVC(C=PENALTY, gamma=gamma))
    return machine.fit(*shifted(pixels, labels, count))


def fit_mlp(pixels, labels, hidden):
    """A perceptron with one hidden layer, on pixels scaled to 0..1."""
    return MLPClassifier((hidden,), random_state=SEED, max_iter=400).fit(pixels / 16, labels)


def svm_tensors(machine):
    """The union of all support vectors, and each digit's weight on each of them."""
    every = np.vstack([one.support_vectors_ for one in machine.estimators_])
    vectors, where = np.unique(every, axis=0, return_inverse=True)
    coefficients = np.zeros((len(vectors), 10))
    start = 0
    for digit, one in enumerate(machine.estimators_):
        rows = where[start:start + len(one.support_)]
        np.add.at(coefficients[:, digit], rows, one.dual_coef_[0])
        start += len(one.support_)
    return {
        "vectors": vectors.astype(np.uint8),
        "coefficients": coefficients.astype(np.float32),
        "intercepts": np.array([one.intercept_[0] for one in machine.estimators_], np.float32),
    }


def mlp_tensors(network):
    """Layer weights with one row per output, so that a row is one dot product."""
    (first, second), (bias1, bias2) = network.coefs_, network.intercepts_
    return {
        "hidden.weight": np.ascontiguousarray(first.T, np.float32),
        "hidden.bias": bias1.astype(np.float32),
        "output.weight": np.ascontiguousarray(second.T, np.float32),
        "output.bias": bias2.astype(np.float32),
    }


def svm_labels(tensors, pixels):
    """What the exported numbers answer, not what the library would."""
    vectors = tensors["vectors"].astype(np.float64)
    distance = ((pixels ** 2).sum(1)[:, None] + (vectors ** 2).sum(1)[None] - 2 * pixels @ vectors.T)
    return (np.exp(-GAMMA * distance) @ tensors["coefficients"] + tensors["intercepts"]).argmax(1)


def mlp_labels(tensors, pixels):
    """What the exported numbers answer, not what the library would."""
    hidden = np.maximum(pixels / 16 @ tensors["hidden.weight"].T + tensors["hidden.bias"], 0)
    return (hidden @ tensors["output.weight"].T + tensors["output.bias"]).argmax(1)


def write_safetensors(path, tensors, metadata):
    """safetensors: u64 length, JSON header, then the tensors, all little-endian."""
    names = {"uint8": "U8", "float32": "F32"}
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": names[tensor.dtype.name], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def metadata(model, kind, correct, trained, **settings):
    """Facts about the weights, as the strings the format wants."""
    facts = {
        "model": model, "kind": kind, "heldout_correct": correct, "heldout_samples": HELD_OUT,
        "training_samples": trained, "seed": SEED,
        "made_by": f"build/sample/train/train.py, scikit-learn {sklearn.__version__}, numpy {np.__version__}",
        **settings,
    }
    return {name: str(fact) for name, fact in facts.items()}


def write_samples(pixels, labels, held):
    """The held-out samples as one table, and one picture and request for each digit."""
    SAMPLES.mkdir(parents=True, exist_ok=True)
    rows = ["sample,label," + ",".join(f"p{i}" for i in range(64))]
    for i in held:
        rows.append(",".join(str(int(v)) for v in (i, labels[i], *pixels[i])))
    (SAMPLES / "heldout.csv").write_text("\n".join(rows) + "\n")
    for digit in range(10):
        first = next(i for i in held if labels[i] == digit)  # the first there is, right or wrong
        picture = pixels[first].astype(int)
        lines = [" ".join(f"{v:2d}" for v in row) for row in picture.reshape(8, 8)]
        (SAMPLES / f"{digit}.pgm").write_text(
            f"P2\n# held-out sample {first} of the UCI digits, label {digit}\n8 8\n16\n" + "\n".join(lines) + "\n")
        request = {"id": f"sample-{first}", "inputs": [
            {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": picture.tolist()}]}
        (SAMPLES / f"{digit}.json").write_text(json.dumps(request) + "\n")


def select(pixels, labels):
    """Four-fold cross-validation on the training samples alone."""
    folds = list(StratifiedKFold(4, shuffle=True, random_state=SEED).split(pixels, labels))
    print(f"right of {len(labels)} in four-fold cross-validation; support vectors of one fold")
    for count in (1, 5, 9):
        for gamma in (0.0007, 0.001, 0.0015, 0.002):
            right, size = 0, 0
            for fit, check in folds:
                tensors = svm_tensors(machine := fit_svm(pixels[fit], labels[fit], gamma, count))
                right += (machine.decision_function(pixels[check]).argmax(1) == labels[check]).sum()
                size = len(tensors["vectors"])
            print(f"svm  shifts {count}  gamma {gamma:<6}  {right}  {size} vectors", flush=True)
    for hidden in (16, 32, 64):
        right = sum((fit_mlp(pixels[fit], labels[fit], hidden).predict(pixels[check] / 16) == labels[check]).sum()
                    for fit, check in folds)
        print(f"mlp  hidden {hidden:<3}  {right}", flush=True)


def train(pixels, labels, fit, held):
    """Fit both models, measure the exported numbers, write everything."""
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    svm = svm_tensors(fit_svm(pixels[fit], labels[fit], GAMMA, SHIFTS))
    right = int((svm_labels(svm, pixels[held]) == labels[held]).sum())
    write_safetensors(WEIGHTS / "digits.safetensors", svm, metadata(
        "digits", "svm", right, len(fit), gamma=GAMMA, shifts=SHIFTS, penalty=PENALTY))
    print(f"digits       {right} of {HELD_OUT}, {len(svm['vectors'])} support vectors")

    mlp = mlp_tensors(fit_mlp(pixels[fit], labels[fit], HIDDEN))
    right = int((mlp_labels(mlp, pixels[held]) == labels[held]).sum())
    write_safetensors(WEIGHTS / "digits-lite.safetensors", mlp, metadata(
        "digits-lite", "mlp", right, len(fit), hidden=HIDDEN))
    print(f"digits-lite  {right} of {HELD_OUT}, 64-{HIDDEN}-10")
    write_samples(pixels, labels, held)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--select", action="store_true", help="print the cross-validation table and write nothing")
    warnings.simplefilter("ignore")  # the perceptron stops at its iteration limit on purpose
    pixels, labels, fit, held = split()
    if options.parse_args().select:
        return select(pixels[fit], labels[fit])
    return train(pixels, labels, fit, held)


if __name__ == "__main__":
    sys.exit(main())
