// The one virtual machine the simulator speaks about. Every name says that it is simulated; nothing here is anybody's.

export const SIMULATED = {
  containerId: "51a1a7ed-0000-4000-8000-00000000c0de",
  tenantName: "51a1a7ed-0000-4000-8000-000000007e4a",
  roleName: "simulated-vm",
  roleInstance: "_simulated-vm",
  configName: "51a1a7ed-0000-4000-8000-000000007e4a.0.51a1a7ed-0000-4000-8000-000000007e4a.0._simulated-vm.1.xml",
  subscriptionId: "51a1a7ed-0000-4000-8000-0000005ab5c1",
  tenantId: "51a1a7ed-0000-4000-8000-000000007e17",
  clientId: "51a1a7ed-0000-4000-8000-0000000c11e7",
  vmId: "51a1a7ed-0000-4000-8000-000000000001",
  resourceGroup: "simulated-group",
  location: "simulated",
} as const;

/** The instance document of IMDS, as far as guests usually read it. */
export const INSTANCE_DOCUMENT = {
  compute: {
    azEnvironment: "AzurePublicCloud",
    customData: "",
    isHostCompatibilityLayerVm: "false",
    licenseType: "",
    location: SIMULATED.location,
    name: SIMULATED.roleName,
    offer: "simulated-offer",
    osProfile: { adminUsername: "azureuser", computerName: SIMULATED.roleName, disablePasswordAuthentication: "true" },
    osType: "Linux",
    placementGroupId: "",
    plan: { name: "", product: "", publisher: "" },
    platformFaultDomain: "0",
    platformUpdateDomain: "0",
    provider: "Microsoft.Compute",
    publicKeys: [],
    publisher: "simulated-publisher",
    resourceGroupName: SIMULATED.resourceGroup,
    resourceId: `/subscriptions/${SIMULATED.subscriptionId}/resourceGroups/${SIMULATED.resourceGroup}/providers/Microsoft.Compute/virtualMachines/${SIMULATED.roleName}`,
    securityProfile: { encryptionAtHost: "false", secureBootEnabled: "true", securityType: "TrustedLaunch", virtualTpmEnabled: "true" },
    sku: "simulated-sku",
    storageProfile: { dataDisks: [], osDisk: { name: "simulated-os-disk", osType: "Linux", diskSizeGB: "30" } },
    subscriptionId: SIMULATED.subscriptionId,
    tags: "simulated:true",
    tagsList: [{ name: "simulated", value: "true" }],
    userData: "",
    version: "1.0.0",
    vmId: SIMULATED.vmId,
    vmScaleSetName: "",
    vmSize: "Standard_B2s",
    zone: "",
  },
  network: {
    interface: [
      {
        ipv4: { ipAddress: [{ privateIpAddress: "10.0.0.4", publicIpAddress: "" }], subnet: [{ address: "10.0.0.0", prefix: "24" }] },
        ipv6: { ipAddress: [] },
        macAddress: "000D3A51A1A7",
      },
    ],
  },
} as const;
