"""More of what web3.py's wheel brings: the pool, traces, and the asynchronous client as a whole."""

from web3._utils.module_testing import GoEthereumAsyncTxPoolModuleTest, GoEthereumTxPoolModuleTest
from web3._utils.module_testing.go_ethereum_debug_module import GoEthereumAsyncDebugModuleTest, GoEthereumDebugModuleTest
from web3._utils.module_testing.web3_module import AsyncWeb3ModuleTest


class TestTxPool(GoEthereumTxPoolModuleTest):
    pass


class TestAsyncTxPool(GoEthereumAsyncTxPoolModuleTest):
    pass


class TestDebug(GoEthereumDebugModuleTest):
    pass


class TestAsyncDebug(GoEthereumAsyncDebugModuleTest):
    pass


class TestAsyncWeb3(AsyncWeb3ModuleTest):
    def _check_web3_client_version(self, client_version):
        assert client_version.count("/") >= 3
