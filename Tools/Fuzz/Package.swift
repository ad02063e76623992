// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the product never builds with the fuzzer's instrumentation. `run` builds and starts it.
let package = Package(
    name: "weft-fuzz",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "weft", path: "../..")],
    targets: [
        .executableTarget(
            name: "Fuzz", dependencies: [.product(name: "FuzzTargets", package: "weft")],
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
    ]
)
