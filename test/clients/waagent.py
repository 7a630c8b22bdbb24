"""The guest agent's own protocol code, driven one step at a time: each step named on the command line prints one line of JSON.

Nothing of it is installed or started; its files go to a folder that is removed.
"""

import json
import os
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/clients/python/usr/lib/python3/dist-packages")
sys.path.insert(0, ROOT)

from azurelinuxagent.common import conf  # noqa: E402
from azurelinuxagent.common.protocol import imds  # noqa: E402
from azurelinuxagent.common.protocol.goal_state import GoalState, GoalStateProperties  # noqa: E402
from azurelinuxagent.common.protocol.restapi import VMStatus  # noqa: E402
from azurelinuxagent.common.protocol.wire import StatusBlob, WireClient  # noqa: E402

WIRESERVER = "168.63.129.16"
MIB = 1024 * 1024
# All but the certificates, which the simulated host cannot encrypt for us.
PROPERTIES = GoalStateProperties.All & ~GoalStateProperties.Certificates & ~GoalStateProperties.RemoteAccessInfo


class Session:
    def __init__(self):
        self.client = WireClient(WIRESERVER)

    def goal_state(self):
        self.client.check_wire_protocol_version()
        self.client._goal_state = GoalState(self.client, goal_state_properties=PROPERTIES, silent=True)
        self.client.update_host_plugin_from_goal_state()
        state = self.client._goal_state
        return {"incarnation": state.incarnation, "container": state.container_id, "source": state.extensions_goal_state.source}

    def health(self):
        self.client.report_health("Ready", None, None)
        return True

    def vm_settings(self):
        """Twice: the second time the host says that nothing is new."""
        plugin = self.client.get_host_plugin()
        first, new = plugin.fetch_vm_settings(force_update=True)
        second, again = plugin.fetch_vm_settings()
        return {"etag": first.etag, "new": new, "same": second.etag == first.etag, "again": again}

    def status_upload(self):
        """A status in a page blob: bodies of base64 in JSON, the largest some 5.6 MB."""
        blob = StatusBlob(self.client)
        blob.set_vm_status(VMStatus(status="Ready", message="x" * (5 * MIB)))
        blob.prepare("PageBlob")
        self.client.get_host_plugin().put_vm_status(blob, "https://account.invalid/container/blob?sig=" + "s" * 2048)
        return len(blob.data)

    def log_upload(self):
        self.client.get_host_plugin().put_vm_log(os.urandom(20 * MIB))
        return 20 * MIB

    def artifact(self):
        uri, headers = self.client.get_host_plugin().get_artifact_request("https://account.invalid/ext.zip?sig=" + "s" * 2048, False)
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "ext.zip")
            self.client.stream(uri, target, headers=headers, use_proxy=False)
            return os.path.getsize(target)

    def compute(self):
        info = imds.get_imds_client().get_compute()
        return {"vm": info.vmId, "subscription": info.subscriptionId}


with tempfile.TemporaryDirectory() as folder:
    settings = os.path.join(folder, "waagent.conf")
    with open(settings, "w") as file:
        file.write("Lib.Dir=%s\nHttpProxy.Host=None\n" % folder)
    conf.load_conf_from_file(settings)
    session = Session()
    for step in sys.argv[1:]:
        try:
            print(json.dumps({"step": step, "result": getattr(session, step.replace("-", "_"))()}), flush=True)
        except Exception as error:  # pylint: disable=broad-except
            print(json.dumps({"step": step, "error": "%s: %s" % (type(error).__name__, str(error)[:500])}), flush=True)
