internal import Synchronization

/// Values that follow from their keys alone, computed once, for any number of threads. Who asks first makes no difference
/// to what anybody gets, so that pure code may use it.
package final class Memo<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let known = Mutex<[Key: Value]>([:])

    /// Knows nothing yet.
    package init() {}

    /// The value of a key. Threads that ask at the same time may compute it several times.
    ///
    /// - Parameter compute: a pure function of the key.
    package func value(_ key: Key, compute: () -> Value) -> Value {
        if let found = known.withLock({ $0[key] }) { return found }
        let value = compute()
        known.withLock { $0[key] = value }
        return value
    }
}
