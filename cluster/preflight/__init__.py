"""What a deployment is told, looked at before anything is deployed."""
