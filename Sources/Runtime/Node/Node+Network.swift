internal import Logging
internal import NIOCore
internal import Noise
internal import Overlay
internal import Primitives
internal import Wire

extension Node {
    /// Pause between two looks at the interfaces: a look takes some ten microseconds, and a peer whose network has changed
    /// should be heard before the others suspect it (after about two seconds).
    static let networkCheckInterval: Duration = .seconds(1)

    /// Looks at the interfaces and at what streams have carried, every so often. On the datagram loop, which is awake anyway: a
    /// task that sleeps would wake two other threads each time, for a tenth of all that an idle node does.
    func watchNetwork() -> RepeatedTask {
        let (loop, configuration, bound, known) = (driver.eventLoop, configuration, listenAddress, addresses)
        let seen = NIOLoopBoundBox.makeBoxSendingValue((meter: DeliveryMeter(), addresses: known), eventLoop: loop)
        let interval = TimeAmount.nanoseconds(Self.networkCheckInterval.nanoseconds)
        return loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self, hub, driver] _ in
            let present = configuration.reachableAddresses(bound: bound)
            if present != seen.value.addresses {
                seen.value.addresses = present
                Task { await self?.followNetwork() }
            }
            for (peer, sample) in seen.value.meter.take(hub.progress, at: MonotonicClock.now) {
                driver.input(.delivered(peer, sample))
            }
        }
    }

    /// Looks whether this machine's addresses have changed, as when a cable is pulled or another network is joined. Then
    /// the new ones go into the record and the announcements, and everybody with a session hears from the new address.
    func followNetwork() {
        guard !isStopping else { return }
        let present = configuration.reachableAddresses(bound: listenAddress)
        guard present != addresses else { return }
        log.info(
            "this machine's addresses have changed",
            metadata: ["addresses": "\(present.map(\.description).joined(separator: ", "))"])
        addresses = present
        driver.input(.setAddresses(present))
        endpoint.networkChanged()
        if let discovery {
            discovery.update(
                Contact(peer: identity.peer, agreementKey: identity.agreementPublicKey, addresses: present))
            Task { await discovery.refresh() }
        }
    }
}
