"""The domain: types, the driver, measurement, specs and records, ports, registry, errors."""
