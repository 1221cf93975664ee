"""All checks of a deployment, in order."""

from service.deployment.finding import Diagnosis
from service.deployment.model_checks import check_models
from service.deployment.port_checks import check_ports
from service.deployment.process_checks import check_machine, check_settings
from service.deployment.store_checks import check_store
from service.settings import Settings


def diagnose(settings: Settings) -> Diagnosis:
    """Check the deployment that these settings describe. Nothing that serves is disturbed or changed."""
    return Diagnosis(
        [
            *check_settings(settings),
            *check_machine(settings),
            *check_models(settings),
            *check_store(settings),
            *check_ports(settings),
        ]
    )
