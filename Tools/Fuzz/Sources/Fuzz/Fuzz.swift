import FuzzTargets

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// libFuzzer brings `main` and calls this with one input after the other. `WEFT_FUZZ_TARGET` names the parser.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: start == nil ? 0 : count))
    do {
        _ = try target.run(bytes)
    } catch {
        // A crash is how libFuzzer learns that it has found something.
        preconditionFailure("\(target.name): \(error)")
    }
    return 0
}

private let target: FuzzTarget = {
    let name = getenv("WEFT_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    if let target = FuzzTarget.named(name) { return target }
    var message = "WEFT_FUZZ_TARGET must be one of (name, largest input):\n"
    for target in FuzzTarget.all { message += "\(target.name) \(target.maximumByteCount)\n" }
    _ = write(STDERR_FILENO, message, message.utf8.count)
    exit(64)
}()
