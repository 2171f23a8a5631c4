"""web3.py's provider suite over WebSocket."""

import pytest
from web3._utils.module_testing import AsyncEthModuleTest
from web3._utils.module_testing.persistent_connection_provider import PersistentConnectionProviderTest


@pytest.mark.pending
class TestPersistentConnection(PersistentConnectionProviderTest):
    pass


class TestWebSocketEth(AsyncEthModuleTest):
    pass
