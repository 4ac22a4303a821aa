"""
The Go doc's set-up functions for clouds.
"""

from twisted.internet.defer import Deferred

from diarkis_tw.cloud.sources import CLOUDS, what_is_my_ip
from diarkis_tw.config.settings import Settings
from diarkis_tw.server.public_address import PublicAddress


class CloudSetup:
    """
    The part of L{Server<diarkis_tw.server.server.Server>} that asks clouds for the
    address that clients connect to.

    There is seldom a reason to call these: C{DIARKIS_CLOUD_ENV} does the same
    without a change of code, and must be set (or C{node.publicAddressUrl}) where
    the configuration file binds all interfaces. Called in C{setup(server)} they
    replace that choice: the cloud is asked once everything is bound, and a failure
    ends the process with status 1. In an C{on_ready} callback, as the Go doc has it,
    the cloud is asked at once, after what C{DIARKIS_CLOUD_ENV} says; return the
    Deferred, so that the node waits for it.

    The port that clients are told is the one bound. The Deferreds fire when the
    address is announced, and fail with L{CloudError<diarkis_tw.errors.CloudError>},
    but see L{PublicAddress.choose}.
    """

    _settings: Settings
    _public_address: PublicAddress

    def setup_server_for_aws(self) -> Deferred[None]:
        """
        Announce the EC2 instance's public host name, else its public IPv4 address.
        Go: C{server.SetupServerForAWS}.
        """
        return self._public_address.choose(CLOUDS["AWS"])

    def setup_server_for_gcp(self) -> Deferred[None]:
        """
        Announce the machine's external IP address.
        Go: C{server.SetupServerForGCP}.
        """
        return self._public_address.choose(CLOUDS["GCP"])

    def setup_server_for_azure(self) -> Deferred[None]:
        """
        Announce the machine's public IP address, of the Basic or the Standard SKU.
        Go: C{server.SetupServerForAzure}.
        """
        return self._public_address.choose(CLOUDS["AZURE"])

    def setup_server_for_alibaba(self) -> Deferred[None]:
        """
        Announce the ECS instance's elastic IP address, else its public one.
        Go: C{server.SetupServerForAlibaba}.
        """
        return self._public_address.choose(CLOUDS["ALIBABA"])

    def setup_server_for_tencent(self) -> Deferred[None]:
        """
        Announce the CVM instance's public IP address.
        Go: C{server.SetupServerForTencent}.
        """
        return self._public_address.choose(CLOUDS["TENCENT"])

    def setup_server_for_linode(self) -> Deferred[None]:
        """
        Announce the machine's first public IPv4 address.
        Go: C{server.SetupServerForLinode}.
        """
        return self._public_address.choose(CLOUDS["LINODE"])

    def setup_generic_cloud_server(self) -> Deferred[None]:
        """
        Announce the address that this machine's outgoing connections come from, as
        the service at C{node.publicAddressUrl} sees it; without that key a public
        one on the internet is asked, L{diarkis_tw.cloud.sources.WHAT_IS_MY_IP}. See
        to it that incoming connections reach this machine by the same address.
        Go: C{server.SetupGenericCloudServer}.
        """
        return self._public_address.choose(what_is_my_ip(self._settings.node.public_address_url))
