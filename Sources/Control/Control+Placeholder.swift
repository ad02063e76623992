import Hummingbird
import NIOCore
import NIOPosix
import ServiceLifecycle
