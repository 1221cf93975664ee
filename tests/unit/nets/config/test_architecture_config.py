"""The configurations of all architectures need no torch."""

import subprocess
import sys


def test_reading_configurations_loads_no_torch() -> None:
    modules = "loader, language_model_config, encoder_decoder_config, forecaster_config"
    code = f"import sys; from service.nets.config import {modules}; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
