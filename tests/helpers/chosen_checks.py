"""Some checks out of a list of the conformance kit."""


def run_checks(checks, *codes):
    """Run the checks with these codes, of which each must be in the list."""
    chosen = [check for check in checks if check.code in codes]
    assert {check.code for check in chosen} == set(codes)
    for check in chosen:
        check()
