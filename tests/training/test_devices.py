"""Several devices, in programs of their own: TensorFlow fixes how many there are at its first use."""

import json
import os
import socket
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest

from tests.training.replicas import RECIPES, walk
from training import devices, train
from training.config import BadConfig
from training.models import Networks
from training.presets import configure
from training.run import Run


def begin(cpus, folder, *recipes, task=None, ports=()):
    """Start the program on some logical CPUs, as one of the workers at these ports if a task is given."""
    folder.mkdir()
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": task}}
    environment = os.environ | ({} if task is None else {"TF_CONFIG": json.dumps(config)})
    command = [sys.executable, "-m", "tests.training.replicas", str(cpus), str(folder), *recipes]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def end(process, folder):
    """Wait for the program, and read what it found for each recipe."""
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    return {file.stem: dict(np.load(file)) for file in folder.iterdir()}


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture(scope="module")
def alone():
    """What the one device of this process comes to, by recipe."""
    return {recipe: walk(recipe, devices.strategy()) for recipe in RECIPES}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two devices of a machine come to, by recipe."""
    folder = tmp_path_factory.mktemp("devices") / "two"
    return end(begin(2, folder, *RECIPES), folder)


def copies(*results):
    """Collect every replica's copy of each variable."""
    found = defaultdict(list)
    for result in results:
        for name, value in result.items():
            replica, _, variable = name.partition(" ")
            if replica.isdecimal():
                found[variable].append(value)
    return found


def refuse_difference(alone, *results):
    """Raise unless all replicas of all results are equal, and what one device comes to."""
    one, several = copies(alone), copies(*results)
    assert one.keys() == several.keys()
    for variable, values in several.items():
        assert len(values) == 2
        np.testing.assert_array_equal(*values, err_msg=variable)
        np.testing.assert_allclose(values[0], one[variable][0], atol=1e-5, err_msg=variable)
        if "optimizer" in variable:  # Adam divides by the gradient's size: only its moments show it
            size = np.abs(one[variable][0]).max()
            np.testing.assert_allclose(values[0], one[variable][0], atol=1e-3 * size, err_msg=variable)
    for number in ("d_loss", "g_loss", "penalty", "fake_accuracy", "fake_logit"):
        assert results[0][number] == pytest.approx(alone[number], rel=1e-4, abs=1e-6), number
    for norm in ("d_gradient", "g_gradient"):  # the mean of each half's, which chance makes longer
        assert 0.99 < results[0][norm] / alone[norm] < 2, norm


def test_two_devices_of_a_machine_are_equal_and_learn_what_one_does(alone, two):
    refuse_difference(alone["plain"], two["plain"])


def test_two_devices_are_equal_and_learn_what_one_does_of_a_projected_discriminator(alone, two):
    """The generator's gradient passes the kinks of a deep network: it changes by a hundredth where the cards
    change by 1e-6, as they do by sums in another order."""
    alone, result = alone["projected"], two["projected"]
    one, several = copies(alone), copies(result)
    assert one.keys() == several.keys()
    assert any(name.startswith("projected_optimizer") for name in one)
    for variable, values in several.items():
        np.testing.assert_array_equal(*values, err_msg=variable)
        if "optimizer" in variable:  # the gradients, in Adam's moments
            share = 0.03 if variable.startswith("generator") else 1e-3
            size = np.abs(one[variable][0]).max()
            np.testing.assert_allclose(
                values[0], one[variable][0], rtol=0, atol=share * size + 1e-8, err_msg=variable
            )
    for loss in ("d_loss", "g_loss", "penalty", "projected_loss"):
        assert result[loss] == pytest.approx(alone[loss], rel=1e-4)


def test_two_hosts_are_equal_and_learn_what_one_does(alone, tmp_path):
    ports = free_ports(2)
    folders = [tmp_path / str(task) for task in range(2)]
    hosts = [begin(1, folder, "plain", task=task, ports=ports) for task, folder in enumerate(folders)]
    results = [end(host, folder)["plain"] for host, folder in zip(hosts, folders, strict=True)]
    refuse_difference(alone["plain"], *results)


def test_two_hosts_train_one_run_that_one_of_them_writes(tiny_run, tmp_path):
    """The folder is one that both see. A host that wrote as well would log every step twice."""
    for more in (["--preset", "smoke", "--images", "24"], ["--resume", "--images", "40"]):
        cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
        hosts = [
            subprocess.Popen(
                [sys.executable, "-m", "training", "train", str(tiny_run.data), str(tmp_path / "run"), *more],
                env=os.environ
                | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": task}})},
                stderr=subprocess.PIPE,
                text=True,
            )
            for task in range(2)
        ]
        for host in hosts:
            _, errors = host.communicate(timeout=240)
            assert host.returncode == 0, errors[-2000:]
    run = Run.open(tmp_path / "run")
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 3, 5]
    alone = train.start(tiny_run.data, tmp_path / "alone", "smoke", images=40)
    networks, one = Networks.build(run.config), Networks.build(run.config)
    assert (run.restore(networks), alone.restore(one)) == (40, 40)
    for weight, expected in zip(networks.average.get_weights(), one.average.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_the_way_out():
    with pytest.raises(BadConfig, match="multiple of 3"):
        devices.refuse_uneven(configure("smoke", 56, 40), 3)
    with pytest.raises(BadConfig, match="multiple of 16"):
        devices.refuse_uneven(configure("smoke", 56, 40, batch=8, projected=1.0, projected_every=4), 4)
    devices.refuse_uneven(configure("smoke", 56, 40, batch=6, projected=1.0, projected_every=4), 1)


def test_a_cluster_that_cannot_be_read_is_told_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "training", "train", "data", str(tmp_path / "run")]
    answer = subprocess.run(
        command, env=os.environ | {"TF_CONFIG": "{"}, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 1
    assert "TF_CONFIG cannot be read" in answer.stderr
    assert "Traceback" not in answer.stderr
