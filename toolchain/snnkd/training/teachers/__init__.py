"""Who is imitated: trained spiking networks and ANNs, by the activation tensors that they put out."""
