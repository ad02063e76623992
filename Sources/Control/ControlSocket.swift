internal import NIOCore
internal import NIOPosix
package import Runtime

/// The Unix domain socket through which a node is spoken to.
package struct ControlSocket: Hashable, Sendable {
    package let path: String

    /// Bytes of a path that fit into `sockaddr_un` with its zero byte.
    package static var maximumPathBytes: Int { Platform.maximumSocketPathBytes }

    /// Throws if the system cannot hold the path.
    package init(path: String) throws(ControlSocketError) {
        guard path.utf8.count <= Self.maximumPathBytes else { throw .pathTooLong(path) }
        self.path = path
    }

    package init(state: StateDirectory) throws(ControlSocketError) { try self.init(path: state.controlSocketPath) }

    /// Makes way for a server: removes the socket of a process that is gone, and throws if one still answers.
    func claim() async throws {
        if await isAnswered() { throw ControlSocketError.inUse(path) }
        SystemFile.remove(path)
    }

    /// Lets only the owner connect. The directory around it is closed to others already.
    func closeToOthers() throws(FileError) { try SystemFile.closeToOthers(path, directory: false) }

    /// Removes the socket.
    func remove() { SystemFile.remove(path) }

    private func isAnswered() async -> Bool {
        let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        guard let channel = try? await bootstrap.connect(unixDomainSocketPath: path).get() else { return false }
        try? await channel.close()
        return true
    }
}

/// Why a control socket cannot be used, in a sentence that says what to do.
package enum ControlSocketError: Error, Hashable, Sendable, CustomStringConvertible {
    case pathTooLong(String)
    /// A process answers on it.
    case inUse(String)
    /// Nobody answers.
    case notRunning(String)
    /// The socket belongs to another user.
    case notPermitted(String)
    /// The node hung up in the middle of an answer.
    case disconnected(String)

    package var description: String {
        switch self {
        case .pathTooLong(let path):
            "the socket's path \(path) has \(path.utf8.count) bytes, and the system takes at most "
                + "\(ControlSocket.maximumPathBytes): give a shorter directory with --state"
        case .inUse(let path): "a node already answers on \(path): stop it first, or give another --state"
        case .notRunning(let path): "no node runs here (\(path)): start one with `weft up`"
        case .notPermitted(let path): "\(path) belongs to another user"
        case .disconnected(let path): "the node on \(path) hung up: it was stopped, or see its log"
        }
    }
}

extension IOError {
    /// Whether the system refused for want of rights.
    var isPermission: Bool { Platform.isPermissionError(errnoCode) }
}
