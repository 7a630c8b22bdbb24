"""cloud-init's own Azure code, driven one step at a time: each step named on the command line prints one line of JSON.

Stood in for: the network interface and its DHCP lease (the sandbox has none), and the place where cloud-init keeps its files.
"""

import json
import logging
import os
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/clients/python/usr/lib/python3/dist-packages")
sys.path.insert(0, ROOT)
logging.basicConfig(level=logging.ERROR, stream=sys.stderr)

from cloudinit import distros, helpers  # noqa: E402
from cloudinit.sources import DataSourceAzure as azure  # noqa: E402
from cloudinit.sources.helpers.azure import get_metadata_from_fabric  # noqa: E402


def make_source(folder):
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder, "templates_dir": folder})
    source = azure.DataSourceAzure({}, distros.fetch("debian")("debian", {}, paths), paths)
    source._is_ephemeral_networking_up = lambda: True
    source._route_configured_for_imds = True
    source._route_configured_for_wireserver = True

    def no_dhcp(**_):
        raise RuntimeError("the sandbox has no DHCP")

    source._setup_ephemeral_networking = no_dhcp
    return source


def check_agent(source):
    """What it does when ovf-env.xml says ProvisionGuestProxyAgent; failures are reported to the fabric and not raised."""
    reports = []
    report = source._report_failure

    def noted(error, host_only=False):
        sent = report(error, host_only)
        reports.append({"report": error.as_encoded_report(), "sent": sent})
        return sent

    source._report_failure = noted
    source._check_azure_proxy_agent_status()
    return reports


def metadata(source):
    found = source.get_metadata_from_imds(report_failure=False)
    return sorted(found)


def ready(source):
    get_metadata_from_fabric(endpoint="168.63.129.16", distro=source.distro, iso_dev=None, pubkey_info=None)
    return True


STEPS = {"check-agent": check_agent, "metadata": metadata, "ready": ready}

with tempfile.TemporaryDirectory() as folder:
    data_source = make_source(folder)
    for step in sys.argv[1:]:
        try:
            print(json.dumps({"step": step, "result": STEPS[step](data_source)}), flush=True)
        except Exception as error:  # pylint: disable=broad-except
            print(json.dumps({"step": step, "error": "%s: %s" % (type(error).__name__, error)}), flush=True)
