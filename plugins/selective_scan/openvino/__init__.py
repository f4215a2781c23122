"""The selective scan as an OpenVINO extension."""
